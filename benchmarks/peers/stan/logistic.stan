// A logistic regression (d = 31): x = (a, b_1 .. b_30), y_n ~ Bernoulli(1/(1 + exp(-a - b . design[n]))), a, b_k ~ N(0, 2.5^2).
data {
  int<lower=1> N;
  int<lower=1> K;
  matrix[N, K] design;
  int<lower=0, upper=1> y[N];
}
parameters {
  vector[K + 1] x;
}
model {
  x ~ normal(0, 2.5);
  y ~ bernoulli_logit_glm(design, x[1], tail(x, K));
}
