//! A page in one file, around what a command has to show.

/// A page with a heading and a body, which is HTML already. Its content security policy forbids scripts and requests.
pub fn page(heading: &str, body: &str) -> String {
    let heading = escaped(heading);
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{heading} · Regard</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
svg {{ max-width: 100%; height: auto; }} figure {{ margin: 1.5rem 0; }} pre {{ white-space: pre-wrap; }} dt {{ font-weight: 600; }}
table {{ border-collapse: collapse; margin: 1rem 0; }} td, th {{ padding: .2rem .8rem; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }} tr {{ border-bottom: 1px solid #8884; }}
</style></head><body>
<main>
<h1>{heading}</h1>
{body}</main>
</body></html>
"#
    )
}

/// Text as text of a page or a picture, also within an attribute.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
