//! `regard attribute`: which tokens a model's answer comes from, by one method or all, and how far to trust what they say.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use regard_explain::attribution::head_ablation;
use regard_explain::render::{self, html, svg, terminal};
use regard_explain::trust::{Protocol, Trust, measure};
use regard_explain::{Explanation, Subject, write_atomically};
use regard_recipes::question::{Method, Question};
use regard_recipes::trained::Trained;

use crate::asking::{Asking, Target, methods};
use crate::progress::Work;
use crate::{Result, interruption, output, strip};

mod scores;

#[derive(Args)]
pub struct Attribute {
    /// The text that the model is to read.
    text: String,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    target: Target,
    /// How to score tokens, or all: leave-one-out, occlusion, value-zeroing, gradient-input, integrated-gradients, gradient-attention,
    /// rollout, flow, attention. Several may be given, with commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "leave-one-out")]
    method: Vec<String>,
    /// Score heads instead, by what the answer loses without each; no trust is measured, and no picture drawn.
    #[arg(long, conflicts_with_all = ["method", "orders", "seed", "no_trust", "svg", "html"])]
    heads: bool,
    /// Measure no trust, which takes some hundred readings of the text.
    #[arg(long)]
    no_trust: bool,
    /// Print one JSON object, with all that was measured.
    #[arg(long)]
    json: bool,
    /// Write the scores as a picture (one method).
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write them as a page, of any number of methods.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What a method says, and how far to trust it.
pub struct Explained {
    pub explanation: Explanation,
    pub trust: Option<Trust>,
}

impl Attribute {
    pub fn run(self) -> Result {
        let methods = methods(&self.method)?;
        if self.svg.is_some() && methods.len() > 1 {
            return Err(format!("--svg takes one method, {} given; --html takes any number", methods.len()).into());
        }
        let protocol = self.asking.protocol();
        let model = self.asking.model()?;
        let question = model.question(&self.text, &self.target.ask())?;
        let work = Work::new(interruption()?)?;
        if self.heads {
            let found = heads(&question, &work)?;
            work.ends();
            return self.print_heads(&question, &found);
        }
        let shuffled = (!self.no_trust).then(|| model.shuffled(self.asking.seed)).transpose()?;
        let mut found = Vec::new();
        for &method in &methods {
            let explained = explain(&question, shuffled.as_ref(), method, &protocol, &mut work.telling());
            match explained {
                Ok(explained) => found.push(explained),
                // Of many, those that fit are shown.
                Err(error) if methods.len() > 1 && work.goes_on().is_continue() => {
                    work.ends();
                    output::complain(format_args!("{method}: not measured: {}", output::chain(&*error)));
                }
                Err(error) => return Err(error),
            }
        }
        work.ends();
        self.print(&question, &found)?;
        let (title, tokens) = (title(&question)?, question.tokens());
        if let (Some(path), [found]) = (&self.svg, &found[..]) {
            write_atomically(path, svg::explained(&found.shown(&title, &tokens))?.as_bytes())?;
        }
        if let Some(path) = &self.html {
            let shown: Vec<_> = found.iter().map(|found| found.shown(&title, &tokens)).collect();
            write_atomically(path, html::explained(&shown)?.as_bytes())?;
        }
        Ok(())
    }

    fn print(&self, question: &Question, found: &[Explained]) -> Result {
        let mut out = io::stdout().lock();
        let answer = question.answer()?;
        if self.json {
            let explanations: Vec<_> = found
                .iter()
                .map(|found| serde_json::json!({ "explanation": found.explanation, "trust": found.trust }))
                .collect();
            let object = serde_json::json!({
                "text": question.title(), "model": question.model(), "number": question.number(), "answer": answer,
                "baseline": question.baseline(), "tokens": question.tokens(), "explanations": explanations,
            });
            writeln!(out, "{object}")?;
            return Ok(out.flush()?);
        }
        let (title, tokens) = (title(question)?, question.tokens());
        if let [found] = found {
            let shown = found.shown(&title, &tokens);
            write!(out, "{}", terminal::explained(&shown, output::colour(), output::width())?)?;
            return Ok(out.flush()?);
        }
        writeln!(out, "{title}\n")?;
        write!(out, "{}", scores::table(&tokens, found, output::width()))?;
        for Explained { explanation, .. } in found {
            write!(out, "{}: {}", explanation.method, explanation.note)?;
            if let Some(sum) = explanation.completeness {
                let (total, difference) = (sum.total, sum.difference);
                write!(out, "; scores add up to {total:.4} of {difference:.4}")?;
            }
            writeln!(out)?;
        }
        let trust: Vec<Trust> = found.iter().filter_map(|found| found.trust.clone()).collect();
        write!(out, "\n{}", strip::table(&trust, output::width()))?;
        Ok(out.flush()?)
    }

    fn print_heads(&self, question: &Question, found: &[Silenced]) -> Result {
        let mut out = io::stdout().lock();
        if self.json {
            let heads: Vec<_> = found
                .iter()
                .map(|Silenced { site, layer, head, lost, gradient }| {
                    serde_json::json!({
                        "site": site, "layer": layer + 1, "head": head + 1, "lost": lost, "gradient": gradient,
                    })
                })
                .collect();
            let object = serde_json::json!({
                "text": question.title(), "model": question.model(), "number": question.number(),
                "answer": question.answer()?, "heads": heads,
            });
            writeln!(out, "{object}")?;
            return Ok(out.flush()?);
        }
        writeln!(out, "{}\n", title(question)?)?;
        writeln!(out, "    lost  gradient  what is silent")?;
        for Silenced { site, layer, head, lost, gradient } in found {
            writeln!(out, "{lost:+8.4}  {gradient:+8.4}  {site}, layer {}, head {}", layer + 1, head + 1)?;
        }
        writeln!(out, "Gradient: what the answer would lose, were the model linear in what the head finds.")?;
        writeln!(
            out,
            "Heads that stand in for each other are not missed one at a time. How far to trust this: not measured."
        )?;
        Ok(out.flush()?)
    }
}

impl Explained {
    fn shown<'a>(&'a self, title: &'a str, tokens: &'a [String]) -> render::Explained<'a> {
        let Explained { explanation, trust } = self;
        render::Explained { title, tokens, explanation, trust: trust.as_ref() }
    }
}

/// What is explained, and its value.
fn title(question: &Question) -> Result<String> {
    Ok(format!("{}: {:.4}", question.number(), question.answer()?))
}

/// A method's scores of a question and, with a network that has learned nothing, their trust. `told` is what is done, how much of how
/// much, and says whether to go on.
pub fn explain(
    question: &Question,
    shuffled: Option<&Trained>,
    method: Method,
    protocol: &Protocol,
    told: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
) -> Result<Explained> {
    let explanation = method.explain(question, &mut |done, of| told(method.name(), done, of))?;
    let Some(shuffled) = shuffled else { return Ok(Explained { explanation, trust: None }) };
    let what = format!("{method}, nothing learned");
    let other = method.explain(&question.to(shuffled)?, &mut |done, of| told(&what, done, of))?;
    let what = format!("{method}, trust");
    let trust = measure(question, &explanation, Some(&other), protocol, &mut |done, of| told(&what, done, of))?;
    Ok(Explained { explanation, trust: Some(trust) })
}

/// What the answer loses without a head.
struct Silenced {
    site: String,
    layer: usize,
    head: usize,
    lost: f32,
    gradient: f32,
}

/// Every head, the most missed first.
fn heads(question: &Question, work: &Work) -> Result<Vec<Silenced>> {
    let inside = question.inside()?;
    let sites = inside.trace.sites();
    let heads: Vec<usize> = sites.iter().map(|site| site.heads).collect();
    // The heads of an attention are read together, when the first is asked for.
    let mut read: Vec<Vec<f32>> = Vec::new();
    work.begins("heads");
    let scores = head_ablation(
        &heads,
        &mut |silent| match silent {
            None => Ok(question.answer()?),
            Some([site, head]) => {
                if read.len() <= site {
                    read.push(question.without_heads(site, heads[site])?);
                }
                Ok(read[site][head])
            }
        },
        &mut |done, total| work.told(done, total),
    )?;
    let mut found: Vec<Silenced> = sites
        .iter()
        .zip(scores.iter().zip(&inside.gates))
        .flat_map(|(site, (scores, gates))| {
            let heads = scores.iter().zip(gates).enumerate();
            heads.map(|(head, (&lost, &gradient))| {
                let (site, layer) = (site.name.clone(), site.layer);
                Silenced { site, layer, head, lost, gradient }
            })
        })
        .collect();
    found.sort_by(|a, b| b.lost.total_cmp(&a.lost));
    Ok(found)
}
