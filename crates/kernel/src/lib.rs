//! Exact fused attention on slices: no tensor framework, no L×L matrix.
