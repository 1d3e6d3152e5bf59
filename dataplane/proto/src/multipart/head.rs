//! The head of one part: its field name, read so that no two readers differ.

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The field `model`.
    Model,
    /// The field `stream`.
    Stream,
    /// Any other field, or a file.
    Other,
}

/// Reads the header lines of a part (without the empty line at the end).
pub(super) fn part(head: &[u8]) -> Result<Part, &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "the head of a part is not UTF-8")?;
    let mut disposition = None;
    let mut encoded = false;
    let mut charset = false;
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            return Err("a folded line in the head of a part");
        }
        if line
            .bytes()
            .any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f)
        {
            return Err("a control character in the head of a part");
        }
        let (name, value) = line
            .split_once(':')
            .ok_or("a line without colon in the head of a part")?;
        let value = value.trim_matches([' ', '\t']);
        if name.is_empty()
            || name
                .bytes()
                .any(|byte| !byte.is_ascii_alphanumeric() && byte != b'-')
        {
            return Err("a malformed header name in the head of a part");
        }
        if name.eq_ignore_ascii_case("content-disposition") && disposition.replace(value).is_some() {
            return Err("two content-dispositions in one part");
        }
        if name.eq_ignore_ascii_case("content-transfer-encoding") {
            encoded = !["7bit", "8bit", "binary"]
                .iter()
                .any(|plain| value.eq_ignore_ascii_case(plain));
        }
        if name.eq_ignore_ascii_case("content-type") {
            let lower = value.to_ascii_lowercase();
            charset = lower.contains("charset") && !lower.contains("utf-8") && !lower.contains("us-ascii");
        }
    }
    let disposition = disposition.ok_or("a part without content-disposition")?;
    let (name, file) = field_name(disposition)?;
    let policy = match name {
        "model" => Part::Model,
        "stream" => Part::Stream,
        other => {
            let bare = other.trim();
            if ["model", "stream"]
                .iter()
                .any(|policy| bare.eq_ignore_ascii_case(policy))
            {
                return Err("the fields \"model\" and \"stream\" must be spelt in exactly this way");
            }
            return Ok(Part::Other);
        }
    };
    if file {
        return Err("the fields \"model\" and \"stream\" must not be files");
    }
    if encoded || charset {
        return Err("the fields \"model\" and \"stream\" must be plain UTF-8");
    }
    Ok(policy)
}

/// `form-data; name="…"[; filename="…"]`: the name, and whether a file name is given.
fn field_name(disposition: &str) -> Result<(&str, bool), &'static str> {
    let (kind, mut rest) = disposition.split_once(';').ok_or("a part without a name")?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err("a part that is not form-data");
    }
    let mut name = None;
    let mut file = false;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            break;
        }
        let (key, after) = rest.split_once('=').ok_or("a malformed content-disposition")?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted).ok_or("a quoted name does not end")?,
            None => {
                let end = after.find([';', ' ', '\t']).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        if key.eq_ignore_ascii_case("name") {
            if value.contains(['\\', '%', '"']) {
                return Err("an escape in the name of a field");
            }
            if name.replace(value).is_some() {
                return Err("two names in one part");
            }
        } else if key.eq_ignore_ascii_case("filename") || key.eq_ignore_ascii_case("filename*") {
            file = true;
        } else {
            return Err("an unknown parameter in a content-disposition");
        }
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.strip_prefix(';') {
            Some(next) => next,
            None if after.is_empty() => "",
            None => return Err("a malformed content-disposition"),
        };
    }
    Ok((name.ok_or("a part without a name")?, file))
}

/// Splits `text` after the closing quote. `None` without one, and for an escaped quote: some readers take `\"` for an
/// escape, others for a backslash and the end.
fn quoted_string(text: &str) -> Option<(&str, &str)> {
    let (value, after) = text.split_once('"')?;
    (!value.ends_with('\\')).then_some((value, after))
}
