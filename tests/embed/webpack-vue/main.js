// The widget in a page of webpack's with Vue.

import { createApp } from "vue";
import App from "./App.vue";

createApp(App).mount("#app");
