from spack.package import *


class Scorematch(CMakePackage):
    """Score matching in C++20: write an energy as one formula; get its score, the fit, samples and log Z."""

    # No release is published yet: spack dev-build scorematch@0.1.0 builds this checkout. At a release, url is the address
    # of its archive and sha256 that archive's hash; 64 zeros are no archive's.
    url = "file:///scorematch-0.1.0.tar.gz"

    license("MIT")

    version("0.1.0", sha256="0000000000000000000000000000000000000000000000000000000000000000")

    variant("blas", default=False, description="Leave large matrix products to a BLAS of one thread")

    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("eigen@3.4:", type=("build", "link"))
    depends_on("blas", when="+blas")

    conflicts("%gcc@:11", msg="scorematch needs g++ 12 or newer")
    conflicts("%clang@:15", msg="scorematch needs clang 16 or newer")

    def cmake_args(self):
        return [
            self.define("SCOREMATCH_BUILD_TESTS", False),
            self.define("SCOREMATCH_BUILD_EXAMPLES", False),
            self.define("SCOREMATCH_BUILD_BENCHMARKS", False),
            self.define_from_variant("SCOREMATCH_USE_BLAS", "blas"),
        ]
