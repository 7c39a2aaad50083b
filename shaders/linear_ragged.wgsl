// linear_ragged: y[row, col] = activation(bias[col] + sum over k of x[row, k] * weight[col, k]) + residual[row, col],
//         or, with residual_order 2, activation(bias + sum + residual)
//
// Why its own kernel: `linear` reads and writes four values at once; this one takes any n_in and n_out.
// Shapes  x [n_rows, n_in]  weight [n_out, n_in], packed  bias [n_out]  residual, y [n_rows, n_out], row-major.
// Format  shared/weight.wgsl; columns and k behind the matrix's edge are zeros.
// Launch  (ceil(n_quads / 64), n_rows, 1) workgroups: a thread a row and four columns.
// Needs   nothing; x behind n_in is not read.
// Twin    src/reference/linear.rs

struct Params {
    n_rows: u32,
    n_in: u32,
    n_out: u32,
    has_bias: u32,
    residual_order: u32, // 0: there is none; 1: behind the activation; 2: before it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> scales: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn linear_ragged(@builtin(global_invocation_id) id: vec3<u32>) {
    let n_quads = (params.n_out + 3u) / 4u;
    let quad = id.x;
    let row = id.y;
    if quad >= n_quads || row >= params.n_rows {
        return;
    }
    var sum = vec4<f32>(0.0);
    if params.has_bias != 0u {
        sum = bias[quad];
    }
    let n_in = params.n_in;
    for (var k = 0u; k < n_in; k += 4u) {
        var values = vec4<f32>(0.0);
        for (var j = 0u; j < min(4u, n_in - k); j++) {
            values[j] = x[row * n_in + k + j];
        }
        sum += weight_tile(k / 4u, quad, n_quads) * values;
    }
    let n_columns = min(4u, params.n_out - 4u * quad);
    let start = row * params.n_out + 4u * quad;
    var added = vec4<f32>(0.0);
    if params.residual_order != 0u {
        for (var j = 0u; j < n_columns; j++) {
            added[j] = residual[start + j];
        }
    }
    var value = activate(sum) + added;
    if params.residual_order == 2u {
        value = activate(sum + added);
    }
    for (var j = 0u; j < n_columns; j++) {
        y[start + j] = value[j];
    }
}
