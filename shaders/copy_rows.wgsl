// copy_rows: y[to_row + r * to_stride] = x[r] + add[r % add_rows]
//
// Why its own kernel: joins tokens into one sequence and adds positions on the way.
// Shapes  x [n_rows, n_cols]  add [add_rows, n_cols]  y [any, n_cols].
// Launch  a thread a value of x, 64 a workgroup, folded to y.
// Needs   add_rows == 0 where nothing is added.
// Twin    src/reference/copy_rows.rs

struct Params {
    n_rows: u32,
    n_cols: u32,
    to_row: u32,
    to_stride: u32,
    add_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> add: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn copy_rows(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n_groups: vec3<u32>) {
    let i = id.x + id.y * n_groups.x * 64u;
    let row = i / params.n_cols;
    let col = i % params.n_cols;
    if row >= params.n_rows {
        return;
    }
    var value = x[i];
    if params.add_rows != 0u {
        value += add[row % params.add_rows * params.n_cols + col];
    }
    y[(params.to_row + row * params.to_stride) * params.n_cols + col] = value;
}
