// What a picture's module asks of a widget's model, without a kernel behind it: values by name, and who follows them.
export class Model {
  constructor(values) {
    this.values = values;
    this.followers = new Set();
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.values[name] = value;
  }

  on(_, follower) {
    this.followers.add(follower);
  }

  off(_, follower) {
    this.followers.delete(follower);
  }

  save_changes() {
    for (const follower of this.followers) follower();
  }

  // Several values at once, as in one message of a kernel.
  show(values) {
    Object.assign(this.values, values);
    this.save_changes();
  }
}
