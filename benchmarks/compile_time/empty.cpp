#include <Eigen/Dense>

int main() {}
