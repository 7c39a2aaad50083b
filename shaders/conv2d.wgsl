// conv2d: y[n, row, col, o] = activation(bias[o] + sum over (dr, dc, c) of x[n, row', col', c] * weight[o, dr, dc, c])
//
// Why its own kernel: a convolution's windows overlap, so they are read in place instead of unrolled in memory.
// Shapes  x [n_images, in_height, in_width, in_channels]  weight [out_channels, kernel^2 * in_channels], packed as f32
//         bias [out_channels]  y [n_images, out_height, out_width, out_channels]; zeros around x.
// Launch  (ceil(n_quads / 8), ceil(n_pixels / 32), 1) workgroups of 8 quads by 8 groups of 4 pixels, folded to y.
// Twin    src/reference/conv2d.rs

struct Params {
    n_images: u32,
    in_height: u32,
    in_width: u32,
    in_channels: u32,
    out_height: u32,
    out_width: u32,
    out_channels: u32,
    kernel: u32,
    stride: u32,
    pad_top: u32,
    pad_left: u32,
    has_bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

struct Tap {
    index: u32,
    is_inside: bool,
}

// Where output pixel `pixel` reads for tap (dr, dc).
fn tap(pixel: u32, dr: u32, dc: u32) -> Tap {
    let image = pixel / (params.out_height * params.out_width);
    // Left of or above the picture wraps to a huge number, which is not inside either.
    let row = pixel / params.out_width % params.out_height * params.stride + dr - params.pad_top;
    let col = pixel % params.out_width * params.stride + dc - params.pad_left;
    let is_inside = row < params.in_height && col < params.in_width;
    let index = ((image * params.in_height + row) * params.in_width + col) * params.in_channels;
    return Tap(select(0u, index, is_inside), is_inside);
}

fn store(pixel: u32, n_pixels: u32, quad: u32, sum: vec4<f32>) {
    if pixel >= n_pixels {
        return;
    }
    let value = activate(sum);
    for (var j = 0u; j < min(4u, params.out_channels - 4u * quad); j++) {
        y[pixel * params.out_channels + 4u * quad + j] = value[j];
    }
}

@compute @workgroup_size(8, 8)
fn conv2d(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n_groups: vec3<u32>) {
    let n_pixels = params.n_images * params.out_height * params.out_width;
    let n_quads = (params.out_channels + 3u) / 4u;
    let quad = id.x;
    let pixel = (id.y + id.z * n_groups.y * 8u) * 4u;
    if quad >= n_quads || pixel >= n_pixels {
        return;
    }
    var sum0 = vec4<f32>(0.0);
    if params.has_bias != 0u {
        sum0 = bias[quad];
    }
    var sum1 = sum0;
    var sum2 = sum0;
    var sum3 = sum0;
    var w = quad;
    for (var dr = 0u; dr < params.kernel; dr++) {
        for (var dc = 0u; dc < params.kernel; dc++) {
            let t0 = tap(pixel, dr, dc);
            let t1 = tap(pixel + 1u, dr, dc);
            let t2 = tap(pixel + 2u, dr, dc);
            let t3 = tap(pixel + 3u, dr, dc);
            for (var c = 0u; c < params.in_channels; c++) {
                let weights = weight[w];
                w += n_quads;
                sum0 += select(0.0, x[t0.index + c], t0.is_inside) * weights;
                sum1 += select(0.0, x[t1.index + c], t1.is_inside) * weights;
                sum2 += select(0.0, x[t2.index + c], t2.is_inside) * weights;
                sum3 += select(0.0, x[t3.index + c], t3.is_inside) * weights;
            }
        }
    }
    store(pixel, n_pixels, quad, sum0);
    store(pixel + 1u, n_pixels, quad, sum1);
    store(pixel + 2u, n_pixels, quad, sum2);
    store(pixel + 3u, n_pixels, quad, sum3);
}
