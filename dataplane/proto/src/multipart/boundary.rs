//! The boundary out of a `Content-Type`.

use super::BOUNDARY_BYTES_MAX;

/// Reads the boundary of `multipart/form-data; boundary=…`, quoted or not.
///
/// # Errors
///
/// A reason, if the media type is another, the boundary is missing, doubled, empty, longer than
/// [`BOUNDARY_BYTES_MAX`], ends with a space, or holds a byte outside RFC 2046's `bcharsnospace` and space.
pub fn boundary(content_type: &[u8]) -> Result<Vec<u8>, &'static str> {
    let text = std::str::from_utf8(content_type).map_err(|_| "the content type is not ASCII")?;
    let (media, mut rest) = text.split_once(';').ok_or("the content type names no boundary")?;
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err("the content type is not multipart/form-data");
    }
    let mut found: Option<&str> = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            break;
        }
        let (name, after) = rest
            .split_once('=')
            .ok_or("a parameter of the content type has no value")?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').ok_or("a quoted parameter does not end")?;
                if value.contains('\\') {
                    return Err("an escape in a parameter of the content type");
                }
                (value, after)
            }
            None => {
                let end = after.find([';', ' ', '\t']).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        if name.eq_ignore_ascii_case("boundary") && found.replace(value).is_some() {
            return Err("two boundaries in the content type");
        }
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.strip_prefix(';') {
            Some(next) => next,
            None if after.is_empty() => "",
            None => return Err("the content type is malformed"),
        };
    }
    let boundary = found.ok_or("the content type names no boundary")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        return Err("the boundary must be 1 to 70 characters long");
    }
    if boundary.ends_with(' ') || !boundary.bytes().all(allowed) {
        return Err("the boundary holds a character that is not allowed");
    }
    Ok(boundary.as_bytes().to_vec())
}
