// Orders of entries, kept in groups: which of them are among the first so many.
import { bytesOf, placesOf } from "./masks.js";

// By the text of an order, the group of each entry, from 1; 0 for one that is in none.
const known = new Map();

// Sorted positions of the first `count` of `numel` entries, where a group ends.
export function firstOf(order, count, numel) {
  if (!known.has(order.text)) known.set(order.text, groupsOf(order, numel));
  const groups = order.ends.filter((end) => end <= count).length;
  return placesOf(known.get(order.text).map((group) => group > 0 && group <= groups));
}

function groupsOf({ ends, bits, text }, numel) {
  const groups = new Uint8Array(numel);
  const steps = stepsOf(bytesOf(text), bits);
  let [done, group] = [0, 0];
  for (const end of ends) {
    group++;
    let position = -1;
    for (; done < end; done++) {
      position += 1 + steps.next().value;
      groups[position] = group;
    }
  }
  return groups;
}

// Whole numbers in Rice's code: all but the last bits as so many ones and a zero, and then the last bits.
function* stepsOf(bytes, bits) {
  let place = 0;
  const next = () => {
    const bit = (bytes[place >> 3] >> (7 - (place & 7))) & 1;
    place++;
    return bit;
  };
  for (;;) {
    let value = 0;
    while (next()) value++;
    for (let i = 0; i < bits; i++) value = 2 * value + next();
    yield value;
  }
}
