//! Regard's kernel as a contestant, and the measurements of the machine that speeds are compared with.

mod contestant;
mod machine;
mod tensor;

use serde_json::json;

fn main() {
    protocol::serve(contestant::prepare, |name| match name {
        "multiply_adds" => json!({ "best": machine::multiply_adds() }),
        "reading" => json!({ "best": machine::reading() }),
        "version" => json!({ "version": "regard-kernel, this checkout" }),
        _ => json!({ "cannot": "no such job" }),
    });
}
