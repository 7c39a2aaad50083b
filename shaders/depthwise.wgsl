// depthwise: y[n, row, col, c] = activation(bias[c] + sum over (dr, dc) of x[n, row', col', c] * weight[dr, dc, c])
//
// Why its own kernel: no sum over channels, so memory sets the pace; a thread computes four neighbouring
//         pixels of a channel and reads each weight once for them.
// Shapes  x [n_images, in_height, in_width, channels]  weight [kernel, kernel, channels]  bias [channels]
//         y [n_images, out_height, out_width, channels]; zeros around x.
// Launch  channels * ceil(out_width / 4) * out_height * n_images threads, 64 a workgroup, folded to y.
// Twin    src/reference/depthwise.rs

struct Params {
    n_images: u32,
    in_height: u32,
    in_width: u32,
    out_height: u32,
    out_width: u32,
    channels: u32,
    kernel: u32,
    stride: u32,
    pad_top: u32,
    pad_left: u32,
    has_bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn value_at(row_start: u32, col: u32, channel: u32) -> f32 {
    // Left of the picture wraps to a huge number.
    let is_inside = col < params.in_width;
    return select(0.0, x[(row_start + select(0u, col, is_inside)) * params.channels + channel], is_inside);
}

@compute @workgroup_size(64)
fn depthwise(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n_groups: vec3<u32>) {
    let thread = id.x + id.y * n_groups.x * 64u;
    let channels = params.channels;
    let n_strips = (params.out_width + 3u) / 4u;
    let channel = thread % channels;
    let strip = thread / channels % n_strips;
    let out_row = thread / (channels * n_strips) % params.out_height;
    let image = thread / (channels * n_strips * params.out_height);
    if image >= params.n_images {
        return;
    }
    var sum = vec4<f32>(0.0);
    if params.has_bias != 0u {
        sum += bias[channel];
    }
    let first_col = 4u * strip * params.stride - params.pad_left;
    for (var dr = 0u; dr < params.kernel; dr++) {
        let row = out_row * params.stride + dr - params.pad_top;
        if row >= params.in_height {
            continue;
        }
        let row_start = (image * params.in_height + row) * params.in_width;
        for (var dc = 0u; dc < params.kernel; dc++) {
            let col = first_col + dc;
            sum += weight[(dr * params.kernel + dc) * channels + channel] * vec4<f32>(
                value_at(row_start, col, channel),
                value_at(row_start, col + params.stride, channel),
                value_at(row_start, col + 2u * params.stride, channel),
                value_at(row_start, col + 3u * params.stride, channel),
            );
        }
    }
    let value = activate(sum);
    let start = (image * params.out_height + out_row) * params.out_width;
    for (var j = 0u; j < min(4u, params.out_width - 4u * strip); j++) {
        y[(start + 4u * strip + j) * channels + channel] = value[j];
    }
}
