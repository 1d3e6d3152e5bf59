//! Character classes of RFC 9110 §5.6.2 and RFC 3986, as a table of bits.

const TOKEN: u8 = 1;
const REG_NAME: u8 = 2;
const PCHAR: u8 = 4;
const QUERY: u8 = 8;
const VALUE: u8 = 16;
const HEX: u8 = 32;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut i = 0usize;
    while i < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
        let b = i as u8;
        let unreserved = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        let sub_delim = matches!(
            b,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        let token = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        let pchar = unreserved || sub_delim || matches!(b, b':' | b'@');
        let mut class = 0;
        if token {
            class |= TOKEN;
        }
        if unreserved || sub_delim {
            class |= REG_NAME;
        }
        if pchar || b == b'/' {
            class |= PCHAR;
        }
        if pchar || b == b'/' || b == b'?' {
            class |= QUERY;
        }
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            class |= VALUE;
        }
        if b.is_ascii_hexdigit() {
            class |= HEX;
        }
        table[i] = class;
        i += 1;
    }
    table
}

#[inline]
fn is(b: u8, class: u8) -> bool {
    CLASS[usize::from(b)] & class != 0
}

/// `tchar`: a character of a token.
#[inline]
pub(super) fn is_token_byte(b: u8) -> bool {
    is(b, TOKEN)
}

/// `1*tchar`
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is(b, TOKEN))
}

/// `unreserved / sub-delims`: a character of a host name that is not percent-encoded.
#[inline]
pub(super) fn is_reg_name_byte(b: u8) -> bool {
    is(b, REG_NAME)
}

/// `pchar / "/"` without the percent sign.
#[inline]
pub(super) fn is_path_byte(b: u8) -> bool {
    is(b, PCHAR)
}

/// `pchar / "/" / "?"` without the percent sign.
#[inline]
pub(super) fn is_query_byte(b: u8) -> bool {
    is(b, QUERY)
}

/// HTAB, SP, VCHAR or obs-text: a byte of a field value.
#[inline]
pub(super) fn is_value_byte(b: u8) -> bool {
    is(b, VALUE)
}

/// SP or HTAB, of which optional white space consists.
#[inline]
pub(super) fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Without optional white space at both ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&b| !is_blank(b)).unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|&b| !is_blank(b))
        .map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// Whether the two bytes at `at` are hex digits, as they must be after a percent sign.
#[inline]
pub(super) fn is_hex_pair(text: &[u8], at: usize) -> bool {
    matches!(text.get(at..at.saturating_add(2)), Some(&[a, b]) if is(a, HEX) && is(b, HEX))
}
