/** What can be ranked: a file, its address, or anything that a canvas draws. */
export type PictureSource = Blob | string | URL | ImageBitmapSource;

export interface RankedLabel {
  /** null is the line "none of these". */
  label: string | null;
  probability: number;
  /** The cosine of picture and label, -1 to 1. */
  similarity: number;
}

export interface LabelNotes {
  /** Labels whose end was left out: the model reads no more. */
  cut: string[];
  /** Labels that the model cannot read; they are not ranked. */
  unreadable: string[];
  /** Groups of labels that are the same to the model. */
  same: string[][];
}

export type Mode = "softmax" | "independent";

export interface Ranking {
  /** The first label, where it reaches the threshold. */
  winner: string | null;
  /** All labels that can be read, the most probable first. */
  labels: RankedLabel[];
  mode: Mode;
  /** How far the first can be relied on. */
  confidence: "clear" | "likely" | "unsure" | "none_of_these" | "not_calibrated";
  notes: LabelNotes;
  /** What was laid under the picture's transparency. */
  background: string | null;
}

export interface Progress {
  stage: "start" | "download" | "read" | "verify" | "build" | "selftest" | "labels";
  done: number;
  /** 0 where it is not known. */
  total: number;
}

/** Stable codes of what can go wrong; static/docs/embed.md tells what each means. */
export type ErrorCode =
  | "adapter-missing"
  | "camera-busy"
  | "camera-missing"
  | "camera-refused"
  | "camera-unreadable"
  | "camera-unsupported"
  | "device-lost"
  | "device-lost-again"
  | "engine-failed"
  | "gpu-silent"
  | "gpu-wrong"
  | "labels-refused"
  | "picture-cut-short"
  | "picture-not-a-file"
  | "picture-scrambled"
  | "picture-too-large"
  | "picture-unreachable"
  | "picture-unreadable"
  | "policy-blocked"
  | "request-refused"
  | "self-test-failed"
  | "storage-failed"
  | "webgpu-missing"
  | "weights-damaged"
  | "weights-html"
  | "weights-missing"
  | "weights-network"
  | "weights-server"
  | "weights-unreadable"
  | "widget-missing"
  | "worker-crashed"
  | "worker-missing";

export interface Problem {
  code: ErrorCode;
  message: string;
  /** What the page's security policy lacks, where that is the cause. */
  lines: string[];
}

/** A request's failure. One that was stopped rejects with an AbortError instead. */
export interface ClipletError extends Error, Problem {}

/** The loaded model: name, licence and accuracy in `about`, sizes, where it runs, its self-test. */
export interface ModelCard {
  info: {
    about: { name: string; license: string; description: string; accuracy: string; sources: string[] };
    backend: { kind: "gpu" | "cpu"; adapter: string | null; is_software: boolean };
    self_test: { cosine_image: number; cosine_text: number; millis: number; passed: boolean } | null;
    file_bytes: number;
    image_size: number;
    context_len: number;
    embedding_width: number;
    is_calibrated: boolean;
    knows_none: boolean;
    load_millis: number;
  };
  templates: string[];
  file: string;
  sha256: string;
}

export interface RequestOptions {
  signal?: AbortSignal;
}

export interface EngineRequestOptions extends RequestOptions {
  onprogress?: (progress: { stage: string; done: number; total: number }) => void;
}

export interface EngineRankOptions extends EngineRequestOptions {
  /** With `{label}` once in each; default: the model's own. */
  template?: string | string[];
  mode?: Mode;
  /** Adds the line "none of these", where the model knows it. */
  none?: boolean;
  /** A winner is at least so probable, 0 to 1. */
  threshold?: number;
}

export interface EngineOptions {
  /** A folder below `models/` beside the module; default: the starter. */
  model?: string;
  /** The folder of a model's manifest.json and weights, as `cliplet pack` writes it. */
  modelUrl?: string;
  workerUrl?: string;
  wasmUrl?: string;
  /** embed.html of another origin, for pages whose policy allows no worker of it. */
  iframeUrl?: string;
}

/** The engine without an element. */
export interface Engine {
  /** The card of the model; null before it is loaded. */
  readonly info: ModelCard | null;
  load(options?: EngineRequestOptions): Promise<ModelCard>;
  rank(picture: PictureSource, labels: Iterable<string>, options?: EngineRankOptions): Promise<Ranking>;
  /** A unit vector. */
  encodeImage(picture: PictureSource, options?: EngineRequestOptions): Promise<Float32Array>;
  /** A unit vector for each text; null for one that the model cannot read. */
  encodeTexts(texts: Iterable<string>, options?: EngineRequestOptions): Promise<(Float32Array | null)[]>;
  /** Ends the session; the worker ends with the last one. */
  destroy(): void;
}

export function createEngine(options?: EngineOptions): Promise<Engine>;

export const version: string;

export interface ClipletRankEventMap extends HTMLElementEventMap {
  load: CustomEvent<ModelCard>;
  progress: CustomEvent<Progress> & ProgressEvent;
  result: CustomEvent<Ranking>;
  error: CustomEvent<Problem> & ErrorEvent;
}

export declare class ClipletRank extends HTMLElement {
  static readonly formAssociated: true;
  static readonly version: string;
  get labels(): string[];
  set labels(labels: Iterable<string> | string);
  get template(): string[];
  set template(templates: Iterable<string> | string);
  model: string;
  src: string;
  camera: boolean;
  mode: Mode | "";
  threshold: number;
  none: boolean;
  theme: "light" | "dark" | "";
  loading: "click" | "visible" | "eager" | "";
  wasmUrl: string;
  workerUrl: string;
  modelUrl: string;
  iframeUrl: string;
  name: string;
  required: boolean;
  disabled: boolean;
  readonly form: HTMLFormElement | null;
  readonly type: "cliplet-rank";
  /** The winner, or "". */
  readonly value: string;
  readonly result: Ranking | null;
  readonly validity: ValidityState;
  readonly validationMessage: string;
  readonly willValidate: boolean;
  checkValidity(): boolean;
  reportValidity(): boolean;
  rank(picture?: PictureSource, options?: RequestOptions): Promise<Ranking>;
  setLabels(labels: Iterable<string> | string, options?: RequestOptions): Promise<Ranking | null>;
  encodeImage(picture: PictureSource, options?: EngineRequestOptions): Promise<Float32Array>;
  encodeTexts(texts: Iterable<string>, options?: EngineRequestOptions): Promise<(Float32Array | null)[]>;
  stop(): void;
  destroy(): void;
  addEventListener<K extends keyof ClipletRankEventMap>(
    type: K,
    listener: (this: ClipletRank, event: ClipletRankEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "cliplet-rank": ClipletRank;
  }
}
