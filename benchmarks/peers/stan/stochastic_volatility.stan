// Stochastic volatility, non-centred (d = T + 3): x = (mu, logit p, log sigma, z_1 .. z_T), phi = 2 p - 1,
//   y_t ~ N(0, exp(h_t)), h_1 = mu + sigma z_1, h_t = mu + phi (h_{t-1} - mu) + sigma z_t, z_t ~ N(0, 1),
//   mu ~ N(0, 5^2), p ~ Beta(20, 1.5), log sigma ~ N(-1.2, 0.5^2).
data {
  int<lower=1> T;
  vector[T] y;
}
transformed data {
  vector[T] square_y = square(y);
}
parameters {
  vector[T + 3] x;
}
model {
  real phi = 2 * inv_logit(x[2]) - 1;
  vector[T] h = exp(x[3]) * tail(x, T);
  for (t in 2:T)
    h[t] += phi * h[t - 1];
  h += x[1];
  x[1] ~ normal(0, 5);
  target += -20 * log1p_exp(-x[2]) - 1.5 * log1p_exp(x[2]);  // the prior of p, and dp / d logit p
  x[3] ~ normal(-1.2, 0.5);
  tail(x, T) ~ std_normal();
  target += -0.5 * (sum(h) + dot_product(square_y, exp(-h)));
}
