//! Every kernel, in every set of overrides that a plan can ask for, compiles in Chromium: naga accepts shaders that
//! browsers refuse.

use crate::harness::blank_page;
use crate::webdriver::Browser;
use cliplet::kernels::{self, Overrides};
use serde_json::{Value, json};

/// What Chromium says against a shader; nothing when it makes a pipeline of each variant.
fn complaints(browser: &Browser, name: &str, source: &str, variants: &[Overrides]) -> Vec<String> {
    let constants: Vec<Value> = variants
        .iter()
        .map(|overrides| overrides.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect())
        .collect();
    let complaints = browser.run_async(
        "const [name, source, variants] = arguments;
         if (!window.device) {
             const adapter = await navigator.gpu.requestAdapter();
             window.device = await adapter.requestDevice();
         }
         const complaints = [];
         device.pushErrorScope('validation');
         const module = device.createShaderModule({ code: source, label: name });
         for (const message of (await module.getCompilationInfo()).messages) {
             if (message.type === 'error') complaints.push(`${name}:${message.lineNum}: ${message.message}`);
         }
         const error = await device.popErrorScope();
         if (error && complaints.length === 0) complaints.push(`${name}: ${error.message}`);
         if (complaints.length > 0) return complaints;
         for (const constants of variants) {
             const compute = { module, entryPoint: name, constants };
             await device.createComputePipelineAsync({ layout: 'auto', compute }).catch((error) => {
                 complaints.push(`${name} ${JSON.stringify(constants)}: ${error.message}`);
             });
         }
         return complaints;",
        json!([name, source, constants]),
    );
    let complaints = complaints.as_array().expect("a list").iter();
    complaints.map(|complaint| complaint.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn every_kernel_compiles_in_chromium() {
    let (_server, browser) = blank_page();
    let mut n_pipelines = 0;
    let mut all = Vec::new();
    for kernel in kernels::all() {
        let mut variants = (kernel.variants)();
        if variants.is_empty() {
            variants.push(Overrides::default());
        }
        n_pipelines += variants.len();
        all.extend(complaints(&browser, kernel.name, kernel.source, &variants));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    assert!(n_pipelines >= kernels::all().len() && n_pipelines > 5, "only {n_pipelines} pipelines were made");
}

#[test]
fn a_broken_shader_is_noticed() {
    let (_server, browser) = blank_page();
    let good = "override N: u32 = 4;
        @group(0) @binding(0) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(N) fn probe(@builtin(local_invocation_index) i: u32) { y[i] = f32(i); }";
    let ask = |source: &str, n: f64| complaints(&browser, "probe", source, &[vec![("N", n)]]);
    assert_eq!(ask(good, 8.0), Vec::<String>::new(), "the control");
    assert!(!ask(&good.replace("f32(i)", "i"), 8.0).is_empty(), "a wrong type passed");
    assert!(!ask(good, 100_000.0).is_empty(), "a workgroup over every limit passed");
    // What naga lets pass and browsers refuse: a barrier that not every invocation reaches.
    let divergent = good.replace("y[i] = f32(i);", "if i > 1u { workgroupBarrier(); } y[i] = 1.0;");
    assert!(!ask(&divergent, 8.0).is_empty(), "a barrier in divergent control flow passed");
}
