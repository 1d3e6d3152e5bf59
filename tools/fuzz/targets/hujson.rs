//! Configuration documents: `sluice_controlplane::config`. Whatever the text, a report and no panic; every message
//! points into the text.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use sluice_controlplane::config;

fuzz_target!(|text: &str| {
    // Documents that name files would read them.
    if text.contains("file") {
        return;
    }
    let report = config::check(text, &HashMap::new());
    let lines = text.split('\n').count();
    for message in report
        .errors
        .iter()
        .chain(&report.warnings)
        .chain(&report.notices)
    {
        assert!((1..=lines).contains(&message.line), "{message} in {lines} lines");
        assert!(message.column >= 1, "{message}");
    }
});
