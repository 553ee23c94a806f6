/* What docs/first-motion.md's sketch uses of SimpleFOC 2.4, declared as its reference has it. The
 * library is in no package of Debian or Python, so a test compiles the sketch against this. */
#ifndef SIMPLEFOC_H
#define SIMPLEFOC_H

#include <Arduino.h>

#define _2PI 6.28318530718f
#define NOT_SET -12345.0

enum class TorqueControlType : uint8_t { voltage, dc_current, foc_current };
enum class MotionControlType : uint8_t { torque, velocity, angle };

class Sensor {
  public:
    virtual void update();
    virtual float getAngle();
};

class Encoder : public Sensor {
  public:
    Encoder(int a, int b, float pulses_per_turn, int index = 0);
    void init();
    void enableInterrupts(void (*a)() = nullptr, void (*b)() = nullptr, void (*index)() = nullptr);
    void handleA();
    void handleB();
};

class BLDCDriver {
  public:
    virtual int init() = 0;
    float voltage_power_supply;
};

class BLDCDriver3PWM : public BLDCDriver {
  public:
    BLDCDriver3PWM(int a, int b, int c, int enable_a = NOT_SET, int enable_b = NOT_SET,
                   int enable_c = NOT_SET);
    int init() override;
};

class CurrentSense {
  public:
    virtual int init() = 0;
    void linkDriver(BLDCDriver *driver);
};

class InlineCurrentSense : public CurrentSense {
  public:
    InlineCurrentSense(float shunt_ohm, float gain, int a, int b, int c = NOT_SET);
    int init() override;
};

class FOCMotor {
  public:
    void linkSensor(Sensor *sensor);
    void linkCurrentSense(CurrentSense *sense);
    float target;
    float current_limit;
    int8_t enabled;
    TorqueControlType torque_controller;
    MotionControlType controller;
};

class BLDCMotor : public FOCMotor {
  public:
    BLDCMotor(int pole_pairs, float ohm = NOT_SET, float kv = NOT_SET, float henry = NOT_SET);
    void linkDriver(BLDCDriver *driver);
    int init();
    int initFOC();
    void disable();
    void loopFOC();
    void move(float target = NOT_SET);
};

class Commander {
  public:
    Commander(Stream &serial, char end = '\n', bool echo = false);
    void add(char id, void (*callback)(char *), const char *label = nullptr);
    void motor(FOCMotor *motor, char *command);
    void run();
};

#endif
