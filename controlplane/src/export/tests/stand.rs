//! A web service that stands in for a receiver: it keeps what it gets and answers as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::*;

/// A message that came.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer: status, fields, body.
pub(super) type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

#[derive(Clone, Default)]
pub(super) struct Stand {
    pub(super) messages: Arc<Mutex<Vec<Message>>>,
    /// Answers to come; then 200 with what is usual.
    pub(super) answers: Arc<Mutex<VecDeque<Answer>>>,
    usual: Arc<Vec<u8>>,
}

impl Stand {
    /// Starts one; its tasks end with the test's runtime.
    pub(super) async fn start(usual: &[u8]) -> (Self, SocketAddr) {
        let stand = Self {
            usual: Arc::new(usual.to_vec()),
            ..Self::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = stand.clone();
        let answer = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let own = own.clone();
            async move { own.answer(&uri, headers, body) }
        };
        let router = axum::Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (stand, address)
    }

    fn answer(&self, uri: &Uri, headers: HeaderMap, body: Bytes) -> Response {
        self.messages.lock().unwrap().push(Message {
            path: uri.path().to_owned(),
            headers,
            body,
        });
        let told = self.answers.lock().unwrap().pop_front();
        let (status, fields, body) = told.unwrap_or_else(|| (200, Vec::new(), self.usual.to_vec()));
        let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
        for (name, value) in fields {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }

    pub(super) fn tell(&self, status: u16, fields: &[(&'static str, &str)], body: &[u8]) {
        let fields = fields
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.answers
            .lock()
            .unwrap()
            .push_back((status, fields, body.to_vec()));
    }

    pub(super) fn got(&self) -> Vec<Message> {
        std::mem::take(&mut self.messages.lock().unwrap())
    }
}
