"use strict";
const form = document.querySelector("form");
const items = [...document.querySelectorAll("[data-correction]")];
const having = (decision) => items.filter((item) => item.dataset.decision === decision);
let saved = true;
const show = () => {
  const accepted = having("accepted").length, rejected = having("rejected").length;
  form.elements.count.value =
    `${accepted} accepted, ${rejected} rejected, ${items.length - accepted - rejected} to review`;
  form.elements.download.disabled = !accepted;
};
for (const item of items) {
  const buttons = [...item.querySelectorAll("button")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const same = item.dataset.decision === button.value;
      item.dataset.decision = same ? "" : button.value; // a second click takes a decision back
      for (const each of buttons) each.ariaPressed = String(item.dataset.decision === each.value);
      saved = false;
      show();
    });
  }
}
form.elements.download.addEventListener("click", () => {
  const lines = having("accepted").map((item) => item.dataset.correction + "\n");
  const link = document.createElement("a");
  link.download = "corrections.jsonl";
  link.href = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  saved = true;
});
window.addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});
form.hidden = false;
show();
