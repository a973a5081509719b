"use strict";
// MLflow shows the page in a frame without an origin, where links to a part of the page do nothing.
for (const link of document.querySelectorAll("nav a")) {
  const part = document.getElementById(link.getAttribute("href").slice(1));
  link.addEventListener("click", () => part.scrollIntoView());
}
// The filter shows the sentences with an error of the selected kind, type and setting.
for (const form of document.querySelectorAll(".filter")) {
  const fields = form.elements;
  const sentences = [...form.nextElementSibling.children].map((item) => ({
    item,
    words: item.dataset.words.toLowerCase(),
    errors: item.dataset.errors.split(" ").map((error) => error.split("-")),
  }));
  const show = () => {
    const selected = [fields.setting.value, fields.kind.value, fields.type.value];
    const words = fields.words.value.trim().toLowerCase();
    let count = 0;
    for (const { item, words: text, errors } of sentences) {
      const matches = (error) => selected.every((value, i) => !value || value === error[i]);
      item.hidden = !(text.includes(words) && errors.some(matches));
      count += !item.hidden;
    }
    fields.count.value = `${count} of ${sentences.length} shown`;
  };
  for (const event of ["input", "change"]) form.addEventListener(event, show); // an automated browser may send only one
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
