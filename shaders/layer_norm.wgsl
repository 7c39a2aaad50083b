// layer_norm: y = (x - mean) / sqrt(variance + eps) * weight + bias, a row
//
// Why its own kernel: two reductions a row; the variance is taken about the mean, in f32.
// Shapes  x, y [n_rows, n_cols]  weight, bias [n_cols].
// Launch  (min(n_rows, 65535), ceil(n_rows / 65535), 1) workgroups of 64: one a row.
// Twin    src/reference/layer_norm.rs

struct Params {
    n_rows: u32,
    n_cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const WG_SIZE: u32 = 64u;
var<workgroup> partials: array<f32, 64>;

// Sum over the workgroup, to every thread.
fn workgroup_sum(value: f32, thread: u32) -> f32 {
    workgroupBarrier(); // the last sum is read
    partials[thread] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < WG_SIZE; i++) {
        sum += partials[i];
    }
    return sum;
}

@compute @workgroup_size(64)
fn layer_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n_groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.x + group.y * n_groups.x;
    // A workgroup behind the last row reads the last row again and stores nothing.
    let first = min(row, params.n_rows - 1u) * params.n_cols;
    let n_cols = params.n_cols;
    var sum = 0.0;
    for (var c = thread; c < n_cols; c += WG_SIZE) {
        sum += x[first + c];
    }
    let mean = workgroup_sum(sum, thread) / f32(n_cols);
    var squares = 0.0;
    for (var c = thread; c < n_cols; c += WG_SIZE) {
        let d = x[first + c] - mean;
        squares += d * d;
    }
    let variance = workgroup_sum(squares, thread) / f32(n_cols);
    let scale = 1.0 / sqrt(variance + params.eps);
    if row < params.n_rows {
        for (var c = thread; c < n_cols; c += WG_SIZE) {
            y[first + c] = (x[first + c] - mean) * scale * weight[c] + bias[c];
        }
    }
}
