// The widget in a page of Vite's with React: an element like any other.

import "cliplet-rank";
import { useState } from "react";
import { createRoot } from "react-dom/client";

function App() {
  const [winner, setWinner] = useState("");
  return (
    <main>
      <cliplet-rank labels={["cat", "dog", "rocket"]} loading="eager" onresult={({ detail }) => setWinner(detail.winner)} />
      <output>{winner}</output>
    </main>
  );
}

createRoot(document.getElementById("app")).render(<App />);
