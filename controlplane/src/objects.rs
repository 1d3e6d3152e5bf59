//! Object storage: a bucket of S3, or of what speaks like it.
//!
//! Every wait has an end: connecting, one request, all tries of one request together. Buckets are named in the path, which
//! every implementation understands. Keys travel in the signature alone, never in a URL, and so never in an error.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::config::domain::S3;
use crate::web;

/// How long one request may take, its body included.
const REQUEST: Duration = Duration::from_secs(60);
/// How often one request is tried again after a refusal that may pass, and how long all that may take. Whoever needs
/// more patience has a queue behind it and asks again later.
const RETRIES: usize = 3;
const RETRY: Duration = Duration::from_secs(30);
/// What requests are signed for if the document names no region.
const REGION: &str = "us-east-1";

/// Variables that AWS's own tools read: static keys, the role of a web identity, the role of a container.
const VARIABLES: [(&str, AmazonS3ConfigKey); 8] = [
    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        AmazonS3ConfigKey::WebIdentityTokenFile,
    ),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    ),
];

/// What the environment of the host offers to those that name no key of their own.
static AMBIENT: OnceLock<Vec<(AmazonS3ConfigKey, String)>> = OnceLock::new();

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectsError {
    /// One half of a key is missing.
    #[error("{0} is missing: give both, or neither to use what the host's environment offers")]
    HalfAKey(&'static str),
    /// The library refuses the description.
    #[error("the bucket cannot be used: {0}")]
    Description(String),
}

/// Takes from a process's environment what buckets without a key of their own use, and makes ring the process's provider
/// of cryptography. Called once, where a control plane starts; later calls change nothing.
pub(crate) fn prepare(environment: &HashMap<String, String>) {
    web::install_crypto();
    let _ = AMBIENT.set(ambient(environment));
}

fn ambient(environment: &HashMap<String, String>) -> Vec<(AmazonS3ConfigKey, String)> {
    VARIABLES
        .into_iter()
        .filter_map(|(name, key)| {
            let value = environment.get(name).filter(|value| !value.is_empty())?;
            Some((key, value.clone()))
        })
        .collect()
}

/// Opens a bucket; nothing is asked yet. Names of objects are relative to the bucket: the prefix is put before them by
/// whoever names them.
///
/// Without a key in the document: the host's environment (variables of AWS's tools), else the role of the instance.
///
/// # Errors
/// The description cannot be used.
pub(crate) fn open(bucket: &S3) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
    open_with(bucket, AMBIENT.get().map_or(&[], Vec::as_slice), REQUEST, RETRY)
}

fn open_with(
    bucket: &S3,
    ambient: &[(AmazonS3ConfigKey, String)],
    request: Duration,
    retry: Duration,
) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
    let region = if bucket.region.is_empty() {
        REGION
    } else {
        &bucket.region
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(false)
        .with_http_connector(Connector { request })
        // Only a document can name a plain endpoint, and whoever writes it means it.
        .with_allow_http(bucket.endpoint.starts_with("http://"))
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: retry,
        });
    if !bucket.endpoint.is_empty() {
        builder = builder.with_endpoint(&bucket.endpoint);
    }
    let secret = bucket.access_secret.0.as_str();
    match (bucket.access_key_id.is_empty(), secret.is_empty()) {
        (false, false) => {
            builder = builder
                .with_access_key_id(&bucket.access_key_id)
                .with_secret_access_key(secret);
        }
        (true, true) => {
            for (key, value) in ambient {
                builder = builder.with_config(*key, value);
            }
        }
        (true, false) => return Err(ObjectsError::HalfAKey("access_key_id")),
        (false, true) => return Err(ObjectsError::HalfAKey("access_secret")),
    }
    let store = builder
        .build()
        .map_err(|error| ObjectsError::Description(web::shown(&error)))?;
    Ok(Arc::new(store))
}

/// Gives the library the control plane's own web client.
#[derive(Debug)]
struct Connector {
    request: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = web::client(None, self.request).map_err(|source| object_store::Error::Generic {
            store: "S3",
            source: Box::new(source),
        })?;
        Ok(HttpClient::new(client))
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::snapshot::Secret;

    use super::*;

    fn bucket() -> S3 {
        S3 {
            endpoint: "http://127.0.0.1:1".into(),
            bucket: "b".into(),
            access_key_id: "AKIA-name".into(),
            access_secret: Secret("very-secret".into()),
            ..S3::default()
        }
    }

    #[test]
    fn half_a_key_is_no_key() {
        let no_secret = S3 {
            access_secret: Secret::default(),
            ..bucket()
        };
        let no_name = S3 {
            access_key_id: String::new(),
            ..bucket()
        };
        for (half, missing) in [(no_secret, "access_secret"), (no_name, "access_key_id")] {
            let error = open(&half).err().unwrap().to_string();
            assert!(error.starts_with(missing), "{error}");
        }
    }

    #[test]
    fn the_environment_counts_where_it_says_something() {
        let environment = [
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_DEFAULT_REGION", "elsewhere"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = ambient(&HashMap::from(environment));
        let expected = [
            (AmazonS3ConfigKey::AccessKeyId, "a".to_owned()),
            (AmazonS3ConfigKey::SecretAccessKey, "b".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_fails_in_time_and_tells_no_secret() {
        // Nobody listens at port 1.
        let store = open_with(&bucket(), &[], Duration::from_secs(5), Duration::ZERO).unwrap();
        let name = object_store::path::Path::from("x");
        let error = object_store::ObjectStoreExt::get(&store, &name)
            .await
            .err()
            .unwrap();
        let shown = web::shown(&error);
        assert!(shown.contains("127.0.0.1:1"), "{shown}");
        for secret in ["very-secret", "AKIA-name", "Signature"] {
            assert!(
                !shown.contains(secret) && !format!("{error:?}").contains("very-secret"),
                "{shown}"
            );
        }
    }
}
