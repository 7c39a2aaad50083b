// linear: y[row, col] = activation(bias[col] + sum over k of x[row, k] * weight[col, k]) + residual[row, col],
//         or, with residual_order 2, activation(bias + sum + residual)
//
// Why its own kernel: nearly all of a model's arithmetic. A thread keeps 8 rows by 4 columns in registers
//         and widens each weight once for 8 rows; weights stay 8- or 4-bit in memory.
// Shapes  x [n_rows, n_in]  weight [n_out, n_in], packed  bias [n_out]  residual, y [n_rows, n_out], row-major.
// Format  shared/weight.wgsl; one file for all formats, since only the widening differs.
// Launch  (ceil(n_quads / 16), ceil(n_rows / 32), 1) workgroups of 16 quads by 4 groups of 8 rows.
// Needs   n_in % 4 == 0 and n_out % 4 == 0; `linear_ragged` serves the rest.
// Twin    src/reference/linear.rs

struct Params {
    n_rows: u32,
    n_in4: u32,
    n_quads: u32,
    has_bias: u32,
    residual_order: u32, // 0: there is none; 1: behind the activation; 2: before it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> scales: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

fn store(row: u32, quad: u32, sum: vec4<f32>) {
    if row >= params.n_rows {
        return;
    }
    let i = row * params.n_quads + quad;
    var value = sum;
    if params.residual_order == 2u {
        value += residual[i];
    }
    value = activate(value);
    if params.residual_order == 1u {
        value += residual[i];
    }
    y[i] = value;
}

@compute @workgroup_size(16, 4)
fn linear(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    let row = id.y * 8u;
    if quad >= params.n_quads || row >= params.n_rows {
        return;
    }
    // Rows behind the last one read the last one again; their sums are not stored.
    let last = params.n_rows - 1u;
    let n_in4 = params.n_in4;
    let x0 = row * n_in4;
    let x1 = min(row + 1u, last) * n_in4;
    let x2 = min(row + 2u, last) * n_in4;
    let x3 = min(row + 3u, last) * n_in4;
    let x4 = min(row + 4u, last) * n_in4;
    let x5 = min(row + 5u, last) * n_in4;
    let x6 = min(row + 6u, last) * n_in4;
    let x7 = min(row + 7u, last) * n_in4;

    var sum0 = vec4<f32>(0.0);
    if params.has_bias != 0u {
        sum0 = bias[quad];
    }
    var sum1 = sum0;
    var sum2 = sum0;
    var sum3 = sum0;
    var sum4 = sum0;
    var sum5 = sum0;
    var sum6 = sum0;
    var sum7 = sum0;
    for (var k4 = 0u; k4 < n_in4; k4++) {
        let tile = weight_tile(k4, quad, params.n_quads);
        sum0 += tile * x[x0 + k4];
        sum1 += tile * x[x1 + k4];
        sum2 += tile * x[x2 + k4];
        sum3 += tile * x[x3 + k4];
        sum4 += tile * x[x4 + k4];
        sum5 += tile * x[x5 + k4];
        sum6 += tile * x[x6 + k4];
        sum7 += tile * x[x7 + k4];
    }
    store(row, quad, sum0);
    store(row + 1u, quad, sum1);
    store(row + 2u, quad, sum2);
    store(row + 3u, quad, sum3);
    store(row + 4u, quad, sum4);
    store(row + 5u, quad, sum5);
    store(row + 6u, quad, sum6);
    store(row + 7u, quad, sum7);
}
