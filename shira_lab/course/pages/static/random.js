// The numbers that torch draws on a CPU: its Mersenne Twister (Matsumoto & Nishimura 1998), shuffles, normal values.
const [N, M] = [624, 397];

export class Generator {
  constructor(seed) {
    this.state = new Uint32Array(N);
    this.state[0] = seed;
    for (let i = 1; i < N; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.next = N;
  }

  draw() {
    if (this.next === N) this.twist();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const { state } = this;
    for (let i = 0; i < N; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  // In [0, 1), of 53 random bits: the low ones of a 64-bit draw, whose high half is drawn first.
  uniform() {
    const [high, low] = [this.draw(), this.draw()];
    return ((high & 0x1fffff) * 2 ** 32 + low) / 2 ** 53;
  }
}

// torch.randperm(count): a forward Fisher-Yates shuffle.
export function shuffled(count, generator) {
  const places = Uint32Array.from({ length: count }, (_, place) => place);
  for (let i = 0; i < count - 1; i++) {
    const partner = i + (generator.draw() % (count - i));
    [places[i], places[partner]] = [places[partner], places[i]];
  }
  return places;
}

// torch.randn(count, dtype=torch.float64), from 16 values on: Box & Muller (1958) on eight pairs at a time.
export function normals(count, generator) {
  const values = Float64Array.from({ length: count }, () => generator.uniform());
  const transform = (start) => {
    for (let i = start; i < start + 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - values[i]));
      const angle = 2 * Math.PI * values[i + 8];
      values[i] = radius * Math.cos(angle);
      values[i + 8] = radius * Math.sin(angle);
    }
  };
  for (let start = 0; start + 16 <= count; start += 16) transform(start);
  if (count % 16) {
    for (let i = count - 16; i < count; i++) values[i] = generator.uniform();
    transform(count - 16);
  }
  return values;
}
