//! One request for every row of the table and every method that it takes: what tests of access are generated from.

use super::table::{ADMIN, OWN, ROWS, Row, Seg, Version};
use super::{Method, Route, classify};

/// A request that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its method.
    pub method: &'static str,
    /// Its path.
    pub path: String,
    /// What the path table says about it.
    pub route: Route,
}

/// All rows, with `model` wherever a path names one: of each every method that is served on it. `HEAD` goes with `GET`
/// and is left out.
#[must_use]
pub fn samples(model: &str) -> Vec<Sample> {
    let mut paths = vec!["/".to_owned(), format!("/v1/models/{model}")];
    paths.extend(OWN.iter().map(|(name, _)| format!("/{name}")));
    paths.extend(ADMIN.iter().map(|name| format!("/{name}/sample")));
    paths.extend(ROWS.iter().flat_map(|row| paths_of(row, model)));
    let mut out = Vec::new();
    for path in paths {
        for (method, name) in Method::NAMED {
            if method == Method::Head {
                continue;
            }
            if let Ok(route) = classify(method, path.as_bytes()) {
                out.push(Sample {
                    method: name,
                    path: path.clone(),
                    route,
                });
            }
        }
    }
    out
}

/// The paths of a row: one, or one for each verb.
fn paths_of(row: &Row, model: &str) -> Vec<String> {
    let version = match row.version {
        Version::Default(version) => format!("/{version}"),
        Version::Never => String::new(),
    };
    let mut paths = vec![version];
    for seg in row.segs {
        let ends: Vec<String> = match seg {
            Seg::Is(text) => vec![(*text).to_owned()],
            Seg::Id => vec!["id-1".to_owned()],
            Seg::Model => vec![model.to_owned()],
            Seg::ModelVerb(verbs) => verbs
                .iter()
                .map(|verb| format!("{model}:{}", verb.name))
                .collect(),
        };
        paths = paths
            .iter()
            .flat_map(|path| ends.iter().map(move |end| format!("{path}/{end}")))
            .collect();
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Endpoint;

    #[test]
    fn every_row_and_verb_has_a_sample_that_is_served() {
        let samples = samples("m");
        let verbs = |row: &Row| match row.segs.last() {
            Some(Seg::ModelVerb(verbs)) => verbs.len(),
            _ => 1,
        };
        let rows: usize = ROWS.iter().map(verbs).sum();
        let mut paths: Vec<_> = samples.iter().map(|sample| &sample.path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), rows + ADMIN.len() + OWN.len() + 2);
        for endpoint in [
            Endpoint::Root,
            Endpoint::Healthz,
            Endpoint::Readyz,
            Endpoint::Metrics,
            Endpoint::ModelsList,
            Endpoint::ModelsOne,
            Endpoint::ControlPlane,
            Endpoint::ResponsesById,
        ] {
            assert!(
                samples.iter().any(|sample| sample.route.endpoint == endpoint),
                "{endpoint:?}"
            );
        }
    }
}
