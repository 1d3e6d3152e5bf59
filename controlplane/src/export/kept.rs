//! Captures as exporters read them.

use sluice_shared::ids::RequestId;

use super::item::{Captured, ReadCaptures, Reading};
use crate::captures::{Captures, Part, ReadError};
use crate::store::captures::ASSEMBLED;

impl ReadCaptures for Captures {
    fn read(&self, id: RequestId) -> Reading<'_> {
        Box::pin(async move {
            match whole(self, id).await {
                Ok(found) => Ok(found),
                Err(ReadError::Gone) => Ok(None),
                // What cannot be read today cannot be read tomorrow, and must not hold up what comes after it.
                Err(error @ ReadError::Damaged { .. }) => {
                    tracing::error!(request_id = %id, "exported without its capture: {}", crate::link::chain(&error));
                    Ok(None)
                }
                Err(error) => Err(crate::web::shown(&error)),
            }
        })
    }
}

async fn whole(captures: &Captures, id: RequestId) -> Result<Option<Captured>, ReadError> {
    let Some(found) = captures.find(id).await?.filter(|found| found.kept) else {
        return Ok(None);
    };
    let head = captures.head(&found).await?;
    let request_headers = head.request_headers.into_iter();
    let answer_headers = head.answer_headers.into_iter();
    let assembled = if found.flags & ASSEMBLED == 0 {
        None
    } else {
        serde_json::from_slice(&captures.assembled(&found).await?).ok()
    };
    Ok(Some(Captured {
        method: head.method,
        target: head.target,
        request_headers: request_headers
            .map(|it| (it.name, it.value.into_bytes()))
            .collect(),
        request_body: captures.part(&found, Part::Request).await?,
        request_bytes: head.request.bytes,
        request_cut: head.request.truncated,
        status: head.status.unwrap_or(0),
        answer_headers: answer_headers
            .map(|it| (it.name, it.value.into_bytes()))
            .collect(),
        answer_body: captures.part(&found, Part::Answer).await?,
        answer_bytes: head.answer.bytes,
        answer_cut: head.answer.truncated,
        assembled,
    }))
}
