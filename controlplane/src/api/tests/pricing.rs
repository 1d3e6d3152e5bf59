//! Prices over the API.

use super::*;

const DOCUMENT: &str = r#"{
  "providers": {
    "openai": {"baseurl": "https://api.openai.com/v1", "models": ["gpt-5", "gpt-*", "unheard-of"], "preference": 1},
    "cheap": {"baseurl": "https://gw.example", "cost_basis": "openai", "models": ["gpt-5", "vendor/model"],
              "model_cost_map": [{"match": "gpt-*", "adjustment": 0.5}, {"match": "vendor/*", "as": "gpt-4.1"}]},
  },
  "prices": {"openai/gpt-5": {"input": "1.10", "batch": {"input": 0.5}}},
  "grants": [{"src": ["*"], "capabilities": [{"role": "admin", "models": "**"}]}],
}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_are_those_of_the_configuration() {
    let api = Api::with(DOCUMENT).await;
    let list = api.admin("/aperture/pricing");
    assert_eq!(list["table_version"], *sluice_shared::cost::TABLE_VERSION);
    let rows = list["models"].as_array().unwrap();
    let names: Vec<_> = rows
        .iter()
        .map(|row| (row["provider"].as_str().unwrap(), row["model"].as_str().unwrap()))
        .collect();
    let want = [
        ("openai", "gpt-5"),
        ("openai", "unheard-of"),
        ("cheap", "gpt-5"),
        ("cheap", "vendor/model"),
    ];
    assert_eq!(names, want);
    assert_eq!(
        (&rows[0]["priced"], &rows[0]["overridden"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(rows[0]["per_million"]["input"], "1.1");
    assert_eq!(rows[0]["per_million"]["cache_read"], "0.125");
    assert_eq!(rows[0]["tiers"]["batch"]["per_million"]["input"], "0.5");
    assert_eq!(rows[0]["tiers"]["priority"]["per_million"]["output"], "20");
    assert_eq!(rows[0]["source"], "prices in the document");
    assert_eq!(
        rows[1],
        json!({
            "model": "unheard-of", "provider": "openai", "cost_basis": "openai", "priced": false, "overridden": false,
        })
    );
    assert_eq!(rows[2]["per_million"]["output"], "5");
    assert_eq!(
        (&rows[2]["overridden"], &rows[2]["per_search"]),
        (&json!(false), &json!("0.005"))
    );
    assert_eq!(
        (&rows[3]["priced_as"], &rows[3]["per_million"]["output"]),
        (&json!("gpt-4.1"), &json!("8"))
    );
    assert_eq!(rows[3]["context"], 1_047_576);
    let one = api.admin("/aperture/pricing?provider=cheap");
    assert_eq!(one["models"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_model_says_how_its_price_was_found() {
    let api = Api::with(DOCUMENT).await;
    let all = api.admin("/aperture/pricing/gpt-5");
    let ids: Vec<_> = all["prices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["provider"].clone())
        .collect();
    assert_eq!(ids, ["openai", "cheap"]);
    assert_eq!(
        all["prices"][1]["steps"],
        json!([
            "model_cost_map: gpt-5 matches gpt-*",
            "table: gpt-5, as named, is openai/gpt-5",
            "model_cost_map: every rate times 0.5",
        ])
    );
    let one = api.admin("/aperture/pricing/cheap/gpt-5");
    assert_eq!(
        (
            &one["prices"][0]["model"],
            one["prices"].as_array().unwrap().len()
        ),
        (&json!("gpt-5"), 1)
    );
    let slashed = api.admin("/aperture/pricing/vendor/model?provider=cheap");
    assert_eq!(slashed["prices"][0]["priced_as"], "gpt-4.1");
    // Nobody serves it: the table alone.
    let table = api.admin("/aperture/pricing/claude-opus-4-8");
    assert_eq!(
        (&table["prices"][0]["provider"], &table["prices"][0]["basis"]),
        (&Value::Null, &json!("anthropic"))
    );
    assert_eq!(table["prices"][0]["per_million"]["cache_write_1h"], "10");
    // Users may read it, too.
    let (status, _, body) = api.ask(Some("user"), "alice", "GET", "/aperture/pricing/gpt-5-2025-08-07");
    assert_eq!(
        (status, &body["prices"][0]["priced_as"]),
        (200, &json!("gpt-5")),
        "{body}"
    );
    for (target, wanted) in [
        ("/aperture/pricing/nothing-like-it", 404),
        ("/aperture/pricing/gpt-5?provider=nobody", 404),
        ("/aperture/pricing?provider=nobody", 404),
        ("/aperture/pricing?model=x", 400),
        ("/aperture/pricing/%FF", 400),
    ] {
        let (status, kind, body) = api.ask(Some("admin"), "root", "GET", target);
        assert_eq!(
            (status, kind.as_str()),
            (wanted, "application/problem+json"),
            "{target}: {body}"
        );
    }
}
