// normalize: y = x / |x|, a row; a zero row stays zero
//
// Why its own kernel: embeddings are compared by angle.
// Shapes  x, y [n_rows, n_cols].
// Launch  (min(n_rows, 65535), ceil(n_rows / 65535), 1) workgroups of 64: one a row.
// Twin    src/reference/normalize.rs

struct Params {
    n_rows: u32,
    n_cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const WG_SIZE: u32 = 64u;
var<workgroup> partials: array<f32, 64>;

@compute @workgroup_size(64)
fn normalize(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n_groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.x + group.y * n_groups.x;
    let first = min(row, params.n_rows - 1u) * params.n_cols;
    var squares = 0.0;
    for (var c = thread; c < params.n_cols; c += WG_SIZE) {
        let value = x[first + c];
        squares += value * value;
    }
    partials[thread] = squares;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < WG_SIZE; i++) {
        sum += partials[i];
    }
    if row < params.n_rows {
        var scale = 0.0;
        if sum > 0.0 {
            scale = 1.0 / sqrt(sum);
        }
        for (var c = thread; c < params.n_cols; c += WG_SIZE) {
            y[first + c] = x[first + c] * scale;
        }
    }
}
