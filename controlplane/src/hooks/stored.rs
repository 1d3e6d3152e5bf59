//! Bodies of stored captures.

use sluice_shared::ids::RequestId;

use super::{Bodies, Read, Stored};
use crate::captures::{Captures, Part, ReadError};
use crate::link::chain;

impl Bodies for Captures {
    fn bytes(&self, id: RequestId) -> Read<'_, Option<u64>> {
        Box::pin(async move {
            let found = self.find(id).await.map_err(|error| chain(&error))?;
            Ok(found.map(|capture| capture.request_kept.saturating_add(capture.answer_kept)))
        })
    }

    fn read(&self, id: RequestId, (request, answer): (bool, bool)) -> Read<'_, Option<Stored>> {
        Box::pin(async move {
            let Some(capture) = self.find(id).await.map_err(|error| chain(&error))? else {
                return Ok(None);
            };
            let read = async {
                let head = self.head(&capture).await?;
                let content_type = head
                    .answer_headers
                    .into_iter()
                    .find(|field| field.name.eq_ignore_ascii_case("content-type"))
                    .map(|field| field.value);
                let mut stored = Stored {
                    api: capture.api,
                    content_type,
                    request: Vec::new(),
                    answer: Vec::new(),
                };
                if request {
                    stored.request = self.part(&capture, Part::Request).await?;
                }
                if answer {
                    stored.answer = self.part(&capture, Part::Answer).await?;
                }
                Ok(stored)
            };
            match read.await {
                Ok(stored) => Ok(Some(stored)),
                Err(ReadError::Gone) => Ok(None),
                Err(error) => Err(chain(&error)),
            }
        })
    }
}
