// A question to answer before reading on: whoever has committed to an answer is told what is right, and why.
import { element } from "./words.js";

export function prediction(app) {
  const { question, options, answer } = JSON.parse(app.root.dataset.content);
  const { state } = app;
  const group = element("fieldset", { class: "shira-choices" }, element("legend", {}, question));
  const inputs = Object.keys(options).map((option) => {
    const input = element("input", { type: "radio", name: app.root.id, value: option });
    group.append(element("label", {}, input, ` ${option}`));
    return input;
  });
  app.view.append(group, app.status);
  const commit = app.button("Commit", () => {
    const chosen = inputs.find(({ checked }) => checked);
    if (chosen) app.set({ committed: chosen.value });
    else app.say("Choose an answer first.");
  }, group);
  app.follow(() => {
    if (!(state.committed in options)) state.committed = "";
    const done = Boolean(state.committed);
    for (const input of inputs) Object.assign(input, { checked: input.value === state.committed, disabled: done });
    commit.disabled = done;
    app.say(done ? verdict(state.committed, answer, options) : "");
  });
}

function verdict(committed, answer, options) {
  const right = `The answer: ${answer}. ${options[answer]}`;
  return committed === answer ? `Well predicted. ${right}` : `You predicted: ${committed}. ${options[committed]} ${right}`;
}
