//! Keys of the parts that a later version acts on.

use super::{Object, Shape, key, object};

pub(crate) static MCP: Object = object(
    "mcp",
    "MCP servers behind the gateway.",
    &[key(
        "servers",
        Shape::Map(&Shape::Map(&Shape::Any)),
        "{}",
        "By name; each an object.",
    )],
);
