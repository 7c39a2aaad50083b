// mean_rows: y[range] = mean of x's rows in that range
//
// Why its own kernel: global pooling of pictures and mean pooling of ragged texts are both this.
// Shapes  x [any, n_cols]  ranges [n_ranges] of (first row, end row)  y [n_ranges, n_cols].
// Launch  (ceil(n_cols / 64), n_ranges, 1) workgroups: a thread a value of y.
// Twin    src/reference/mean_rows.rs

struct Params {
    n_cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn mean_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = id.x;
    if col >= params.n_cols {
        return;
    }
    let range = ranges[id.y];
    var sum = 0.0;
    for (var row = range.x; row < range.y; row++) {
        sum += x[row * params.n_cols + col];
    }
    y[id.y * params.n_cols + col] = sum / f32(max(range.y - range.x, 1u));
}
