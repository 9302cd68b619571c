// What the program sees of the library: neither scorematch nor Eigen.
#pragma once

int bytes_of_a_register();
double mean_square_of_normals();
