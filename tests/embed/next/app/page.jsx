// The widget in a page of Next's, which a server renders first: the element is there, and comes to life in the browser.

"use client";

import "cliplet-rank";
import { useEffect, useRef, useState } from "react";

export default function Page() {
  const rank = useRef(null);
  const [winner, setWinner] = useState("");
  // React attaches no `onresult` to an element that a server has rendered.
  useEffect(() => {
    const element = rank.current;
    const take = ({ detail }) => setWinner(detail.winner);
    element.addEventListener("result", take);
    return () => element.removeEventListener("result", take);
  }, []);
  return (
    <main>
      <cliplet-rank ref={rank} labels="cat, dog, rocket" loading="eager" />
      <output>{winner}</output>
    </main>
  );
}
