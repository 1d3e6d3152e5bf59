use sluice_proto::guard::{ABOUT, DETECTORS, GROUPS};

use crate::samples::{ALNUM, HEX, all, drawn};
use crate::{found, rule, set};

#[test]
fn each_sample_is_found_by_its_detector_and_all_of_it() {
    let mut wrong = Vec::new();
    for sample in all() {
        let text = sample.text();
        let found = found(&set(rule(&[sample.detector])), &text);
        if found != [(sample.detector.to_owned(), sample.secret.as_str())] {
            wrong.push(format!("{}: {text:?} gave {found:?}", sample.detector));
        }
        // Alone, and at the end.
        let secret = sample.secret.as_str();
        let needs = sample.before.ends_with([' ', '\n', '<'])
            && !["nl_bsn", "pl_pesel", "ca_sin", "de_tax_id", "aws_secret_key"].contains(&sample.detector)
            && !sample.before.contains("phone");
        if needs {
            let found = crate::found(&set(rule(&[sample.detector])), secret);
            if found != [(sample.detector.to_owned(), secret)] {
                wrong.push(format!("{}: alone {secret:?} gave {found:?}", sample.detector));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A number that another one follows, as in the next sentence, is found nevertheless, and only it.
#[test]
fn a_telephone_number_ends_where_it_is_complete() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<String> = found(&set(rule(&["phone"])), text)
            .into_iter()
            .map(|(_, secret)| secret.to_owned())
            .collect();
        assert_eq!(found, expected, "{text}");
    };
    check("Ring (212) 456-7891. 12 of us wait.", &["(212) 456-7891"]);
    check("Ring (212) 456-7891 0", &["(212) 456-7891"]);
    check("Ring (030) 1234567. 24 hours", &["(030) 1234567. 24"]);
    check("Ring (030) 1234567. 2400 hours", &["(030) 1234567"]);
    check("Ring (212) 456-78912.", &[]);
    check("(212) 456. 78", &[]);
}

/// A colon at the very beginning has nothing before it to look at.
#[test]
fn a_text_may_begin_with_the_end_of_an_address() {
    let set = set(rule(&["all"]));
    for text in [":g0", ".g0:", ":0", "::0", ":.1:", "1:", "1::."] {
        assert_eq!(found(&set, text), [], "{text}");
    }
}

/// What no detector at all may find.
#[test]
fn what_only_looks_like_one_is_left() {
    let hex = drawn(HEX, 40);
    let alnum = drawn(ALNUM, 60);
    let texts = [
        // Addresses and names that are not e-mail.
        "the @decorator and icon@2x.png, user@localhost, package@1.2.3, git@github.com:a/b".to_owned(),
        // Numbers that fail a checksum or a boundary.
        "4111 2223 3344 4551 and 4111222333444551 and x4111222333444550 and 41112223334445501".to_owned(),
        "0.4111222333444550 and 1,4111222333444550".to_owned(),
        "DE88 3704 0044 0532 0130 00, DE8937040044053201300 and XX89370400440532013000".to_owned(),
        "000-12-3456 666-12-3456 900-12-3456 536-00-1234 536-22-0000 078-05-1120 1-536-22-8726-1".to_owned(),
        "QQ123456C BG123456A AB123456E AB1234567C".to_owned(),
        "98765432A X1234567A 12345678".to_owned(),
        "1 85 05 78 006 084 92".to_owned(),
        "86095742719 and 111222333 and 85051501236 and 130692544 stand alone".to_owned(),
        "529.982.247-24 11.222.333/0001-80 52998224725 11222333000181".to_owned(),
        "RSSMRA85T10A562T 850515-0122 2341 2341 2347".to_owned(),
        // Times, dates, versions, amounts.
        "2024-01-02T03:04:05.678Z, 12:34:56, 1.2.3, v1.2.3.4, version 10.20.30.41, Chrome/120.0.6099.109".to_owned(),
        "127.0.0.1 0.0.0.0 ::1 255.255.255.255 192.0.2.7 198.51.100.1 203.0.113.9 2001:db8::1 300.1.1.1 1.2.3.4.5".to_owned(),
        "std::fmt::Display a::b dead::code 1::2 Face::add".to_owned(),
        "1 000 000 000, 299 792 458, 3.14159265358979323846, 1e1000000000".to_owned(),
        "from 01.02.2024 to 03.04.2025, 10-12 pm, 2024 2025 2026 2027".to_owned(),
        "uuid 123e4567-e89b-12d3-a456-426614174000 and order 1000000000".to_owned(),
        "+1 and -2, x+4930123456789, 2124567891 and 12124567891, 555-0000".to_owned(),
        // Keys that are none.
        format!("sha1 {hex}, commit {hex}, id_{alnum}"),
        format!("sk-learn is not sk-ant- nor sk-proj- nor task-{alnum}"),
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
        "AKIAIOSFODNN7 AIzaShort hf_hub_download npm_config_registry dapi docs eyJ eyJhbGciOiJub25lIn0".to_owned(),
        format!("eyJub3RoaW5nIjoxfQ.{alnum}.{alnum}"),
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB\n-----END PUBLIC KEY-----".to_owned(),
        "a file that begins with -----BEGIN PRIVATE KEY----- is one".to_owned(),
        "https://example.com:8080/a@b and http://user@host/ and postgres://app:$PASSWORD@db and redis://:password@h".to_owned(),
        format!("secret {alnum} and the secret access key is in the vault"),
        "the secret of success and a sig=abc".to_owned(),
    ];
    let set = set(rule(&["all"]));
    let wrong: Vec<_> = texts
        .iter()
        .map(|text| (text, found(&set, text)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn written_out_line_ends_do_not_hide_a_beginning() {
    for sample in all() {
        if !sample.before.ends_with(' ')
            || sample.before.contains(':')
            || sample.before.contains('=')
            || ["nl_bsn", "pl_pesel", "ca_sin", "de_tax_id"].contains(&sample.detector)
        {
            continue;
        }
        let text = format!("one\\n{}\\ntwo", sample.secret);
        let found = found(&set(rule(&[sample.detector])), &text);
        assert!(
            found.iter().any(|(_, what)| what.starts_with(&sample.secret)),
            "{}: {text:?} gave {found:?}",
            sample.detector
        );
    }
}

#[test]
fn groups_stand_for_their_detectors() {
    for group in GROUPS {
        for (at, about) in ABOUT.iter().enumerate() {
            assert_eq!(DETECTORS[at], about.name);
            let belongs = *group == "all" || *group == about.group.name();
            let set = set(rule(&[group]));
            for sample in all().iter().filter(|sample| sample.detector == about.name) {
                let text = sample.text();
                let found = found(&set, &text);
                let names = found.iter().any(|(_, what)| what.contains(&sample.secret));
                assert!(!belongs || names, "{group}: {text:?} gave {found:?}");
                if !belongs {
                    assert!(
                        found.iter().all(|(name, _)| name != about.name),
                        "{group} finds {}",
                        about.name
                    );
                }
            }
        }
    }
}

#[test]
fn no_sample_is_longer_than_its_detector_says() {
    for sample in all() {
        let about = ABOUT.iter().find(|about| about.name == sample.detector).unwrap();
        assert!(sample.secret.len() <= about.longest, "{}", sample.detector);
    }
}
