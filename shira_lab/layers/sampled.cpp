// Some entries of a^T b, for a (tokens, m) and b (tokens, n): entry (i, j) is the dot product of column i of a and
// column j of b. Columns are first laid out along the tokens; then each row i reads its own line once for four entries.

#include <torch/extension.h>

#include <vector>

namespace {

constexpr int kLanes = 8;
constexpr int64_t kTokens = 256;  // tokens at a time: lines of 1 KiB, and the lines of b stay in the second-level cache
constexpr int64_t kLine = kTokens + 16;  // a stride that is no power of two spreads lines over the cache's sets
constexpr int kTile = 16;

typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

// lines[c][t] = matrix[t][c], zero-padded to kTokens.
void transpose(const float* matrix, int64_t tokens, int64_t width, float* lines) {
  at::parallel_for(0, (width + kTile - 1) / kTile, 8, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile * kTile, last = std::min(first + kTile, width);
      for (int64_t block = 0; block < kTokens; block += kTile) {
        for (int64_t c = first; c < last; ++c) {
          for (int64_t t = block; t < block + kTile; ++t) {
            lines[c * kLine + t] = t < tokens ? matrix[t * width + c] : 0.0f;
          }
        }
      }
    }
  });
}

float sum(Lanes v) {
  float total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += v[lane];
  return total;
}

const Lanes& lanes(const float* line, int64_t t) { return *reinterpret_cast<const Lanes*>(line + t); }

// The dot products of one line with four others.
void dot4(const float* a, const float* const b[4], float* entries) {
  Lanes s0{}, s1{}, s2{}, s3{};
  for (int64_t t = 0; t < kTokens; t += kLanes) {
    const Lanes x = lanes(a, t);
    s0 += x * lanes(b[0], t);
    s1 += x * lanes(b[1], t);
    s2 += x * lanes(b[2], t);
    s3 += x * lanes(b[3], t);
  }
  entries[0] += sum(s0);
  entries[1] += sum(s1);
  entries[2] += sum(s2);
  entries[3] += sum(s3);
}

void dot1(const float* a, const float* b, float* entry) {
  Lanes s{};
  for (int64_t t = 0; t < kTokens; t += kLanes) s += lanes(a, t) * lanes(b, t);
  *entry += sum(s);
}

}  // namespace

at::Tensor sampled_product(at::Tensor a, at::Tensor b, const at::Tensor& row_starts, const at::Tensor& columns) {
  a = a.contiguous();
  b = b.contiguous();
  const int64_t tokens = a.size(0), m = a.size(1), n = b.size(1);
  const int32_t* starts = row_starts.data_ptr<int32_t>();
  const int32_t* column = columns.data_ptr<int32_t>();
  at::Tensor entries = at::zeros({columns.numel()}, a.options());
  at::Tensor lines_a = at::empty({m, kLine}, a.options()), lines_b = at::empty({n, kLine}, b.options());
  float* out = entries.data_ptr<float>();
  const float *la = lines_a.data_ptr<float>(), *lb = lines_b.data_ptr<float>();
  for (int64_t first = 0; first < tokens; first += kTokens) {
    const int64_t count = std::min(kTokens, tokens - first);
    transpose(a.data_ptr<float>() + first * m, count, m, lines_a.data_ptr<float>());
    transpose(b.data_ptr<float>() + first * n, count, n, lines_b.data_ptr<float>());
    at::parallel_for(0, m, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t e = starts[i];
        for (; e + 4 <= starts[i + 1]; e += 4) {
          const float* four[4] = {lb + column[e] * kLine, lb + column[e + 1] * kLine, lb + column[e + 2] * kLine,
                                  lb + column[e + 3] * kLine};
          dot4(la + i * kLine, four, out + e);
        }
        for (; e < starts[i + 1]; ++e) dot1(la + i * kLine, lb + column[e] * kLine, out + e);
      }
    });
  }
  return entries;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("sampled_product", &sampled_product, "Some entries of a^T b, float32, on the CPU");
}
