"use strict";
// In a frame without an origin, as MLflow shows the page in, a link to a part of the page does nothing by itself.
for (const link of document.querySelectorAll("nav a")) {
  const part = document.getElementById(link.getAttribute("href").slice(1));
  link.addEventListener("click", () => part.scrollIntoView());
}
// Shows the sentences with an error that is of the kind, of the type and by the setting that are chosen.
const form = document.getElementById("filter");
if (form) {
  const fields = form.elements;
  const sentences = [...document.querySelectorAll("#disputed > li")].map((item) => ({
    item,
    words: item.dataset.words.toLowerCase(),
    errors: item.dataset.errors.split(" ").map((error) => error.split("-")),
  }));
  const show = () => {
    const chosen = [fields.setting.value, fields.kind.value, fields.type.value];
    const words = fields.words.value.trim().toLowerCase();
    let count = 0;
    for (const { item, words: said, errors } of sentences) {
      const is = (error) => chosen.every((value, i) => !value || value === error[i]);
      item.hidden = !(said.includes(words) && errors.some(is));
      count += !item.hidden;
    }
    fields.count.value = `${count} of ${sentences.length} shown`;
  };
  for (const event of ["input", "change"]) form.addEventListener(event, show); // a driven browser may know but one
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
