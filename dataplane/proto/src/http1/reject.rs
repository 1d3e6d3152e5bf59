//! Why a message is refused. One enum per side of the gateway, and one for bodies, which both sides share.

use std::fmt;

macro_rules! refusals {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $status:literal, $reason:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The status code of the answer to the client. Whatever it is, the connection is closed after it.
            #[must_use]
            pub const fn status(&self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// What is wrong, in words for the caller. Holds no byte of the message.
            #[must_use]
            pub const fn reason(&self) -> &'static str {
                match self { $(Self::$variant => $reason),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.reason())
            }
        }

        impl std::error::Error for $name {}
    };
}

refusals! {
    /// Why a request is refused.
    Reject {
        /// A line feed without a carriage return before it.
        BareLf = 400, "a line of the head ends in LF without CR";
        /// A carriage return without a line feed after it.
        BareCr = 400, "the head holds a CR that is not followed by LF";
        /// A NUL byte.
        NulByte = 400, "the head holds a NUL byte";
        /// More empty lines before the request line than are skipped.
        EmptyLines = 400, "too many empty lines before the request line";
        /// Not `method SP target SP version`, or a method that is not a token.
        RequestLine = 400, "malformed request line";
        /// A request line without a version, as in HTTP/0.9.
        NoVersion = 400, "the request line names no HTTP version";
        /// The version is not `HTTP/` DIGIT `.` DIGIT.
        VersionSyntax = 400, "malformed HTTP version";
        /// The target is not in origin form (RFC 9112 §3.2.1), nor `*` with OPTIONS.
        TargetForm = 400, "the request target must be an absolute path";
        /// A byte that a path or query cannot hold, or a percent sign without two hex digits (RFC 3986).
        TargetBytes = 400, "the request target holds a byte that must be percent-encoded";
        /// A field line without a name of token characters directly followed by a colon; folding too.
        HeaderName = 400, "malformed header name";
        /// A control character in a field value.
        HeaderValue = 400, "a header value holds a control character";
        /// The head does not end where its blank line is, or lacks one.
        HeadEnd = 400, "malformed end of the head";
        /// HTTP/1.1 without `Host`.
        HostMissing = 400, "the Host header is missing";
        /// More than one `Host`.
        HostRepeated = 400, "the Host header is repeated";
        /// `Host` is empty or not `uri-host [":" port]`.
        HostSyntax = 400, "malformed Host header";
        /// `Content-Length` is not digits alone.
        ContentLength = 400, "malformed Content-Length";
        /// More than one `Content-Length`, equal or not.
        ContentLengthRepeated = 400, "the Content-Length header is repeated";
        /// `Content-Length` and `Transfer-Encoding` in one message.
        LengthAndChunked = 400, "both Content-Length and Transfer-Encoding are present";
        /// `Transfer-Encoding` is malformed, or its last coding is not `chunked` (RFC 9112 §6.3).
        TransferEncoding = 400, "malformed Transfer-Encoding";
        /// More than one `Transfer-Encoding`.
        TransferEncodingRepeated = 400, "the Transfer-Encoding header is repeated";
        /// `Transfer-Encoding` in HTTP/1.0, which has none (RFC 9112 §6.1).
        TransferEncodingVersion = 400, "Transfer-Encoding is not part of HTTP/1.0";
        /// `Connection` is not a list of tokens, or an unreasonably long one.
        Connection = 400, "malformed Connection header";
        /// CONNECT, TRACE and QUERY, which are known and not served.
        MethodRefused = 405, "this method is not served";
        /// POST, PUT or PATCH without `Content-Length` and without chunks.
        LengthRequired = 411, "a Content-Length or chunked body is required";
        /// A length beyond what is accepted.
        BodyTooLarge = 413, "the body is too large";
        /// The target is longer than the limit.
        TargetTooLong = 414, "the request target is too long";
        /// A `Content-Encoding` that is not served; the shell decides that.
        EncodedBody = 415, "compressed request bodies are not served";
        /// An expectation other than `100-continue`.
        Expectation = 417, "only the expectation 100-continue can be met";
        /// A protocol upgrade that is not served; the shell decides that.
        UpgradeRefused = 426, "this protocol upgrade is not served";
        /// The head is longer than the limit.
        HeadTooLarge = 431, "the head is too large";
        /// More fields than the limit.
        TooManyHeaders = 431, "the head has too many headers";
        /// A method that is a token but not known.
        MethodUnknown = 501, "unknown method";
        /// Codings before the final `chunked`.
        TransferCoding = 501, "only the transfer coding chunked is understood";
        /// A well-formed version other than 1.0 and 1.1.
        VersionUnknown = 505, "only HTTP/1.0 and HTTP/1.1 are served";
    }
}

refusals! {
    /// Why a provider's answer is refused. Towards the client it is a 502 if no byte was sent, an abort otherwise;
    /// the provider's connection is not used again.
    BadAnswer {
        /// A bare LF, a bare CR or a NUL byte, or a missing blank line.
        LineEnd = 502, "the provider's answer has a malformed line end";
        /// Not `version SP status SP reason`, or a version other than 1.0 and 1.1.
        StatusLine = 502, "the provider's answer has a malformed status line";
        /// A status outside 100–599.
        Status = 502, "the provider's answer has an invalid status";
        /// 101 although no upgrade was asked for.
        SwitchingProtocols = 502, "the provider switched protocols unasked";
        /// A malformed field line.
        Header = 502, "the provider's answer has a malformed header";
        /// A head over the limits.
        TooLarge = 502, "the provider's answer has too large a head";
        /// `Content-Length` malformed, repeated or beyond [`LENGTH_MAX`](super::LENGTH_MAX).
        ContentLength = 502, "the provider's answer has a malformed or repeated Content-Length";
        /// `Transfer-Encoding` other than exactly `chunked` in HTTP/1.1.
        TransferEncoding = 502, "the provider's answer has a transfer coding that is not understood";
        /// Both framings in one answer.
        LengthAndChunked = 502, "the provider's answer has both Content-Length and Transfer-Encoding";
        /// A body is announced where there cannot be one: 1xx or 204 with a length or chunks.
        BodyForbidden = 502, "the provider's answer announces a body that its status forbids";
        /// `Connection` is not a list of tokens.
        Connection = 502, "the provider's answer has a malformed Connection header";
    }
}

refusals! {
    /// Why a body is refused. In a request its status answers the client, if nothing was answered yet; in an
    /// answer it ends the exchange without a clean end.
    BodyError {
        /// A chunk size that is not 1–16 hex digits.
        ChunkSize = 400, "malformed chunk size";
        /// A chunk size beyond [`LENGTH_MAX`](super::LENGTH_MAX).
        ChunkTooLarge = 413, "a chunk is too large";
        /// A chunk extension outside the grammar of RFC 9112 §7.1.1.
        ChunkExtension = 400, "malformed chunk extension";
        /// A line of chunk extensions beyond 256 bytes, or more than 16 KiB of extensions and trailers together.
        ChunkOverhead = 431, "chunk extensions or trailers are too large";
        /// A line of the chunk grammar that does not end in CRLF.
        ChunkLineEnd = 400, "malformed line end in a chunked body";
        /// The data of a chunk is not followed by CRLF: it is longer or shorter than stated.
        ChunkDataEnd = 400, "the data of a chunk does not end where its size says";
        /// A trailer field outside the grammar of header fields.
        Trailer = 400, "malformed trailer field";
        /// A trailer field that would change framing, routing or the connection.
        TrailerForbidden = 400, "a trailer field that may not stand in trailers";
        /// The connection ended before the body did.
        Truncated = 400, "the body ended early";
    }
}

impl From<Reject> for BadAnswer {
    /// Reads what a [`HeadScanner`](super::HeadScanner) or the field parser says about an answer.
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::BareLf | Reject::BareCr | Reject::NulByte | Reject::HeadEnd => Self::LineEnd,
            Reject::HeaderName | Reject::HeaderValue => Self::Header,
            Reject::HeadTooLarge | Reject::TooManyHeaders => Self::TooLarge,
            Reject::ContentLength | Reject::ContentLengthRepeated | Reject::BodyTooLarge => {
                Self::ContentLength
            }
            Reject::TransferEncoding
            | Reject::TransferEncodingRepeated
            | Reject::TransferEncodingVersion
            | Reject::TransferCoding => Self::TransferEncoding,
            Reject::LengthAndChunked => Self::LengthAndChunked,
            Reject::Connection => Self::Connection,
            // The rest speaks of request lines, which the scanner reports for a status line too.
            _ => Self::StatusLine,
        }
    }
}
