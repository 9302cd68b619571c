// An autoregression of order 5 (d = 7): x = (a, b_1 .. b_5, log sigma),
//   y_t ~ N(a + sum_k b_k y_{t-k}, sigma^2), a, b_k ~ N(0, 10^2), sigma ~ half-Cauchy(2.5).
data {
  int<lower=6> T;
  vector[T] y;
}
transformed data {
  vector[T - 5] now = y[6:T];
  matrix[T - 5, 5] before;
  for (k in 1:5)
    before[, k] = y[(6 - k):(T - k)];
}
parameters {
  vector[7] x;
}
model {
  head(x, 6) ~ normal(0, 10);
  target += x[7] - log1p(square(exp(x[7]) / 2.5));
  now ~ normal_id_glm(before, x[1], x[2:6], exp(x[7]));
}
