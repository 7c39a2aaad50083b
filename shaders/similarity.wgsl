// similarity: y[i, j] = scale * <a[i], b[j]>
//
// Why its own kernel: both sides are activations, few rows each.
// Shapes  a [n_a, n_cols]  b [n_b, n_cols]  y [n_a, n_b].
// Launch  a thread a value of y, 64 a workgroup, folded to y.
// Twin    src/reference/similarity.rs

struct Params {
    n_a: u32,
    n_b: u32,
    n_cols: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn similarity(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n_groups: vec3<u32>) {
    let i = id.x + id.y * n_groups.x * 64u;
    if i >= params.n_a * params.n_b {
        return;
    }
    let n_cols = params.n_cols;
    let a_row = i / params.n_b * n_cols;
    let b_row = i % params.n_b * n_cols;
    var sum = 0.0;
    for (var c = 0u; c < n_cols; c++) {
        sum += a[a_row + c] * b[b_row + c];
    }
    y[i] = params.scale * sum;
}
