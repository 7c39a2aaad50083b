// gather_rows: y[i] = x[rows[i]]
//
// Why its own kernel: after the towers only the class or end tokens count.
// Shapes  rows [n_rows]  x [any, n_cols]  y [n_rows, n_cols].
// Launch  a thread a value of y, 64 a workgroup, folded to y.
// Twin    src/reference/gather_rows.rs

struct Params {
    n_rows: u32,
    n_cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn gather_rows(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n_groups: vec3<u32>) {
    let i = id.x + id.y * n_groups.x * 64u;
    if i >= params.n_rows * params.n_cols {
        return;
    }
    y[i] = x[rows[i / params.n_cols] * params.n_cols + i % params.n_cols];
}
