// avg_pool: y[n, row, col, c] = mean of x over window * window pixels, stride window
//
// Why its own kernel: anti-aliased down-sampling of CLIP's ResNets.
// Shapes  x [n_images, height, width, channels]  y [n_images, height / window, width / window, channels].
// Launch  a thread a value of y, 64 a workgroup, folded to y.
// Twin    src/reference/avg_pool.rs

struct Params {
    n_images: u32,
    height: u32,
    width: u32,
    channels: u32,
    window: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn avg_pool(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n_groups: vec3<u32>) {
    let i = id.x + id.y * n_groups.x * 64u;
    let out_height = params.height / params.window;
    let out_width = params.width / params.window;
    let channel = i % params.channels;
    let col = i / params.channels % out_width;
    let row = i / (params.channels * out_width) % out_height;
    let image = i / (params.channels * out_width * out_height);
    if image >= params.n_images {
        return;
    }
    var sum = 0.0;
    for (var dr = 0u; dr < params.window; dr++) {
        for (var dc = 0u; dc < params.window; dc++) {
            let pixel = (image * params.height + row * params.window + dr) * params.width + col * params.window + dc;
            sum += x[pixel * params.channels + channel];
        }
    }
    y[i] = sum / f32(params.window * params.window);
}
