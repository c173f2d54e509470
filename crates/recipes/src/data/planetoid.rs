//! A graph whose nodes have labels: the files of Planetoid, `ind.NAME.x`, `.tx`, `.allx`, `.y`, `.ty`, `.ally`, `.graph` and
//! `.test.index`, which hold Cora and Citeseer with the usual split.
//!
//! Yang, Cohen & Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings", ICML 2016, arXiv:1603.08861; Sen et al.
//! 2008. Nodes are papers, features the words that occur in them, edges say who cites whom. 20 papers of each class are to learn from,
//! the next 500 to stop by, 1,000 are the test.
//!
//! All but the last file are pickles of Python 2, read by `pickle`. The rows of `tx` belong to the nodes that `test.index` lists, in the
//! order of the list; nodes in between that it leaves out (Citeseer has some) have neither features nor a label. Edges go both ways,
//! each once, and each node's features are divided by their sum, as is usual.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use regard::Graph;

use super::DataError;
use super::pickle::{Pickle, Sparse};

/// No file is as large; one that is larger is not read.
const LARGEST_FILE: u64 = 1 << 30;

/// No table of features has as many numbers; one that claims to have more is refused.
const MOST_NUMBERS: usize = 1 << 28;

/// Nodes that are left out of training, to stop by.
const HELD_OUT: usize = 500;

/// A graph whose nodes have features, and some of them labels.
#[derive(Debug, Clone)]
pub struct Nodes {
    /// Who cites or is cited by whom; without loops.
    pub graph: Graph,
    /// Features of a node.
    pub width: usize,
    /// `[node, feature]`
    pub features: Vec<f32>,
    /// How many classes there are.
    pub classes: usize,
    /// Each node's class, where it is known.
    pub labels: Vec<Option<u32>>,
    /// Nodes to learn from.
    pub train: Vec<usize>,
    /// Nodes to stop by.
    pub dev: Vec<usize>,
    /// Nodes to measure on.
    pub test: Vec<usize>,
}

impl Nodes {
    /// Reads the files of `name`, such as `cora`, in `folder`.
    ///
    /// # Errors
    /// When a file is missing or damaged, holds anything but numbers, or they do not fit each other.
    pub fn open(folder: impl AsRef<Path>, name: &str) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        let path = |part: &str| folder.join(format!("ind.{name}.{part}"));
        let sparse = |part: &str| read(path(part), |pickle| pickle.sparse());
        let array = |part: &str| {
            read(path(part), |pickle| match pickle.array()? {
                (shape, numbers) if shape.len() == 2 => Ok((shape[1], numbers)),
                (shape, _) => Err(format!("an array of {shape:?}, expected two axes")),
            })
        };
        let (known, tested) = (sparse("allx")?, sparse("tx")?);
        let ((classes, given), (other, asked)) = (array("ally")?, array("ty")?);
        let (_, learned) = array("y")?;
        let index = places(&path("test.index"))?;
        let lists = read(path("graph"), |pickle| pickle.lists())?;

        let wrong = |problem: String| DataError::Content { path: path("*"), problem };
        let rows = |matrix: &Sparse| matrix.offsets.len() - 1;
        let begin = rows(&known);
        let count = index.iter().max().map_or(begin, |&last| last.saturating_add(1)).max(begin);
        let width = known.columns;
        if known.columns != tested.columns || classes != other || classes == 0 || width == 0 {
            let problem = "features or classes that are not as many in all files, or none";
            return Err(wrong(problem.into()));
        }
        if rows(&tested) != index.len() || asked.len() != index.len() * classes || given.len() != begin * classes {
            let problem = "not a label for each node with features, or not a node for each row of tx";
            return Err(wrong(problem.into()));
        }
        if count - begin > 2 * index.len() {
            return Err(wrong(format!("{count} nodes, of which test.index leaves out more than it lists")));
        }
        if count.checked_mul(width).is_none_or(|numbers| numbers > MOST_NUMBERS) {
            return Err(wrong(format!("{count} nodes of {width} features, expected at most {MOST_NUMBERS} numbers")));
        }
        if index.iter().any(|&node| node < begin) || index.iter().collect::<BTreeSet<_>>().len() != index.len() {
            return Err(wrong("nodes of test.index that are in allx, too, or listed twice".into()));
        }
        let train = learned.len() / classes;
        if train == 0 || train >= begin {
            return Err(wrong(format!("{train} nodes to learn from, expected some, and more than those in allx")));
        }

        let mut features = vec![0.0; count * width];
        let mut labels = vec![None; count];
        let first = (0..begin).map(|node| (node, &known, node, &given));
        let last = index.iter().enumerate().map(|(row, &node)| (row, &tested, node, &asked));
        for (row, matrix, node, hot) in first.chain(last) {
            fill(matrix, row, &mut features[node * width..][..width]);
            labels[node] = hot[row * classes..][..classes].iter().position(|&x| x > 0.0).map(|class| class as u32);
        }
        let nodes = Nodes {
            graph: graph(count, &lists).map_err(wrong)?,
            width,
            features,
            classes,
            labels,
            train: (0..train).collect(),
            dev: (train..begin.min(train + HELD_OUT)).collect(),
            test: index,
        };
        let labelled = |nodes_of: &[usize]| nodes_of.iter().all(|&node| nodes.labels[node].is_some());
        if ![&nodes.train, &nodes.dev, &nodes.test].iter().all(|part| labelled(part)) {
            return Err(wrong("a node to learn from or to measure on that has no label".into()));
        }
        if nodes.features.iter().any(|x| !x.is_finite()) {
            return Err(wrong("features that are not finite".into()));
        }
        Ok(nodes)
    }
}

/// A row of features, divided by their sum.
fn fill(matrix: &Sparse, row: usize, into: &mut [f32]) {
    let range = matrix.offsets[row]..matrix.offsets[row + 1];
    let total: f64 = matrix.values[range.clone()].iter().sum();
    let share = if total == 0.0 { 0.0 } else { total.recip() };
    for at in range {
        into[matrix.indices[at]] += (matrix.values[at] * share) as f32;
    }
}

/// Edges both ways, each once.
fn graph(count: usize, lists: &[(i64, Vec<i64>)]) -> Result<Graph, String> {
    let node = |node: i64| {
        let found = u32::try_from(node).ok().filter(|&node| (node as usize) < count);
        found.ok_or_else(|| format!("an edge with node {node}, expected nodes below {count}"))
    };
    let mut edges = Vec::new();
    for (one, others) in lists {
        let one = node(*one)?;
        for &other in others {
            let other = node(other)?;
            edges.extend([(one, other), (other, one)]);
        }
    }
    edges.retain(|(one, other)| one != other);
    edges.sort_unstable();
    edges.dedup();
    Graph::from_edges(count, &edges).map_err(|error| error.to_string())
}

/// What is in a pickle.
fn read<T>(path: PathBuf, of: impl FnOnce(Pickle) -> Result<T, String>) -> Result<T, DataError> {
    let bytes = bytes(&path)?;
    Pickle::read(&bytes).and_then(of).map_err(|problem| DataError::Content { path, problem })
}

/// A node a line.
fn places(path: &Path) -> Result<Vec<usize>, DataError> {
    let bytes = bytes(path)?;
    let line = |(index, line): (usize, &[u8])| {
        let number = str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
        number.ok_or_else(|| super::pairs::at(path, index, "expected the number of a node"))
    };
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(line).collect()
}

fn bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        let problem = format!("more than {LARGEST_FILE} bytes");
        return Err(DataError::Content { path: path.to_owned(), problem });
    }
    Ok(bytes)
}
