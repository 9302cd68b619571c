// The twisted Gaussian of Haario, Saksman & Tamminen 1999 (d = 2):
//   x_1 ~ N(0, along^2), x_2 ~ N(bend (x_1^2 - along^2), across^2).
data {
  real<lower=0> along;
  real<lower=0> across;
  real bend;
}
parameters {
  vector[2] x;
}
model {
  x[1] ~ normal(0, along);
  x[2] ~ normal(bend * (square(x[1]) - square(along)), across);
}
