// Independent N(0, v_i) (d = 100), v from 10^-1.5 to 10^1.5.
data {
  int<lower=1> d;
  vector[d] v;
}
transformed data {
  vector[d] deviation = sqrt(v);
}
parameters {
  vector[d] x;
}
model {
  x ~ normal(0, deviation);
}
