//! One self-contained page to explore traces in: no network, no other file.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::colour::hex;
use super::label::visible;
use super::{Explained, svg};
use crate::json::{Document, to_string};
use crate::{Result, Trace};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A page with a map, choosers for sentence, site, layer and head, exact weights under the pointer and the keyboard
/// focus, and the sentence as text coloured by who attends to what; light and dark.
///
/// All weights are in the page, as they are in memory (base64 of little-endian f32): about 5.3 bytes each. Tokens cannot
/// break out of the page, and its content security policy forbids every request.
///
/// # Errors
/// [`TooLarge`](crate::Error::TooLarge) for over 2²⁸ weights, and what [`Trace::map`] says of states.
pub fn page(traces: &[Trace]) -> Result<String> {
    let encode = |heads: Vec<Vec<f32>>, _| {
        STANDARD.encode(heads.concat().iter().flat_map(|weight| weight.to_le_bytes()).collect::<Vec<u8>>())
    };
    let shown = |token| Cow::Owned(visible(token));
    let traces = traces.iter().map(|trace| Document::new(trace, shown, encode)).collect::<Result<Vec<_>>>()?;
    let colours: Vec<String> = (0..=u8::MAX).map(|step| hex(f32::from(step) / 255.0)).collect();
    // Inside a script element, only `<` can end the data or open a comment; U+2028 and U+2029 are fine in JSON.
    let data = to_string(&serde_json::json!({ "traces": traces, "colours": colours })).replace('<', "\\u003c");

    // One pass from the start, so that a token which looks like a placeholder stays a token.
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = PAGE;
    for (placeholder, content) in [("/*style*/", STYLE), ("/*data*/", &data), ("/*script*/", SCRIPT)] {
        let (before, after) = rest.split_once(placeholder).unwrap_or((rest, ""));
        page += before;
        page += content;
        rest = after;
    }
    Ok(page + rest)
}

/// A page of explanations, each the picture that [`svg::explained`] draws: no script and no request, which its content security policy
/// forbids, and nothing in a token is taken for markup.
///
/// # Errors
/// What [`svg::explained`] says.
pub fn explained(explanations: &[Explained]) -> Result<String> {
    let mut page = String::from(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Explanations · Regard</title>
</head>
<body>
<main>
"#,
    );
    for explanation in explanations {
        page += "<p>\n";
        page += &svg::explained(explanation)?;
        page += "</p>\n";
    }
    Ok(page + "</main>\n</body>\n</html>\n")
}
