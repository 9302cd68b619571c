// The Gaussian of gaussian.stan, rotated: x = Q u with u_i ~ N(0, v_i) and Q = H_1 H_2 H_3, H_k = I - 2 w w'/|w|^2 with w
// column k of the reflections. log p = -|A x|^2/2 + const, A = diag(v)^(-1/2) Q'.
data {
  int<lower=1> d;
  vector[d] v;
  matrix[d, 3] reflections;
}
transformed data {
  matrix[d, d] A = diag_matrix(inv_sqrt(v));
  for (k in 1:3) {  // Q' = H_3 H_2 H_1
    vector[d] w = reflections[, 4 - k];
    A -= (A * w) * (2 / dot_self(w)) * w';
  }
}
parameters {
  vector[d] x;
}
model {
  target += -0.5 * dot_self(A * x);
}
