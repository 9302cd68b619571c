// Eight schools, non-centred (d = 10): x = (mu, log tau, z_1 .. z_8),
//   y_j ~ N(mu + tau z_j, error_j^2), z_j ~ N(0, 1), mu ~ N(0, 5^2), tau ~ half-Cauchy(5).
data {
  int<lower=1> J;
  vector[J] effect;
  vector[J] error;
}
parameters {
  vector[J + 2] x;
}
model {
  x[1] ~ normal(0, 5);
  target += x[2] - log1p(square(exp(x[2]) / 5));  // the prior of tau, and d tau / d log tau
  tail(x, J) ~ std_normal();
  effect ~ normal(x[1] + exp(x[2]) * tail(x, J), error);
}
