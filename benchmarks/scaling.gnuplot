# Draws what scripts/benchmark.sh --scaling wrote:  gnuplot -e "folder='build/benchmark'" benchmarks/scaling.gnuplot
set terminal pngcairo size 1500,600 font "Sans,13" background "#ffffff"
set output folder."/scaling.png"
data = folder."/scaling.dat"

# Columns: size, microseconds a call, microseconds a sample. Grey lines start at the smallest size.
stats data index 0 using 1:($2/1e3) name "n" nooutput
stats data index 1 using 1:3 name "ism" nooutput
stats data index 2 using 1:3 name "dsm" nooutput

set multiplot layout 1,2 margins 0.07,0.985,0.13,0.9 spacing 0.08,0
set logscale xy
set tics out nomirror
set grid linecolor rgb "#e4e4e4"
set key top left
set samples 500

set title "a mixture of eight Gaussians in the plane"
set xlabel "samples N"
set ylabel "loss and θ-gradient [ms]"
set format x "10^{%T}"
set xrange [n_min_x/1.6:n_max_x*1.6]
set yrange [n_min_y/2:n_max_y*4]
plot n_min_y*x/n_min_x with lines dashtype 2 linewidth 1.5 linecolor rgb "#777777" title "proportional to N", \
     data index 0 using 1:($2/1e3) with linespoints pointtype 7 pointsize 1.6 linewidth 2 linecolor rgb "#20639b" \
       title "implicit score matching"

set title "an energy network d–256–256–1"
set xlabel "dimension d"
set ylabel "loss and θ-gradient, a sample [µs]"
set format x "%g"
set xtics (16, 32, 64)
set xrange [ism_min_x/1.3:ism_max_x*1.3]
set yrange [dsm_min_y/2:ism_max_y*5]
plot ism_min_y*x/ism_min_x with lines dashtype 2 linewidth 1.5 linecolor rgb "#777777" title "proportional to d", \
     dsm_min_y with lines dashtype 3 linewidth 1.5 linecolor rgb "#777777" title "constant", \
     data index 1 using 1:3 with linespoints pointtype 7 pointsize 1.6 linewidth 2 linecolor rgb "#20639b" \
       title "implicit score matching, the exact trace", \
     data index 2 using 1:3 with linespoints pointtype 5 pointsize 1.6 linewidth 2 linecolor rgb "#ed553b" \
       title "denoising score matching"
unset multiplot
